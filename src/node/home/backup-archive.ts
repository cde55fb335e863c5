import { createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { Database, openToRead, transaction } from '../../primitives/database.ts'
import { UsageError } from '../../primitives/errors.ts'
import { reasonOf } from './home.ts'

/** The files of a backup, by their name in a home, with the maximum size of each in bytes. No other file is written or read. */
export const BACKUP_FILES = {
  'identity.key': 16 << 10,
  'known-keys.json': 1 << 20,
  'config.json': 1 << 20,
  'node.db': 2 ** 30,
  'ledger.db': 2 ** 32,
} as const

export type BackupFile = keyof typeof BACKUP_FILES

/** Origin and time of a backup. */
export interface BackupAbout {
  peerId: string
  /** Unix time in milliseconds. */
  createdAtMs: number
}

/** A file of a backup. */
export interface BackedUp {
  name: BackupFile
  bytes: number
}

/** `subn`, the application ID in the file header. */
const APPLICATION_ID = 0x7375626e
const FORMAT = 1
const PART_BYTES = 1 << 20
const SCHEMA = `
  CREATE TABLE about (peer_id TEXT NOT NULL, created_at_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE file (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL) STRICT;
  CREATE TABLE part (name TEXT NOT NULL, number INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (name, number)) STRICT;
`
const IF_DAMAGED = 'take another backup'

/** Writes files into an SQLite database, split into parts. @throws UsageError for an oversized file, DatabaseError */
export async function writeArchive(
  archive: string,
  about: BackupAbout,
  files: ReadonlyArray<{ name: BackupFile; path: string }>,
): Promise<BackedUp[]> {
  const database = new Database({ file: archive, name: 'the backup' }, { timeout: 0 })
  try {
    // no journal: an incomplete archive is discarded
    database.exec(`PRAGMA journal_mode = OFF; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT}; ${SCHEMA}`)
    database.prepare('INSERT INTO about VALUES (?, ?)').run(about.peerId, about.createdAtMs)
    const written: BackedUp[] = []
    for (const { name, path } of files) {
      written.push({ name, bytes: await writeFileInto(database, name, path) })
    }
    return written
  } finally {
    database.close()
  }
}

async function writeFileInto(database: Database, name: BackupFile, path: string): Promise<number> {
  const add = database.prepare('INSERT INTO part VALUES (?, ?, ?)')
  const hash = createHash('sha256')
  const part = Buffer.alloc(PART_BYTES)
  await using file = await open(path)
  let bytes = 0
  for (let number = 0; ; number++) {
    const { bytesRead } = await file.read(part, 0, PART_BYTES)
    if (bytesRead === 0) {
      break
    }
    bytes += bytesRead
    checkSize(name, bytes)
    const content = part.subarray(0, bytesRead)
    hash.update(content)
    transaction(database, () => add.run(name, number, content))
  }
  database.prepare('INSERT INTO file VALUES (?, ?, ?)').run(name, bytes, hash.digest('hex'))
  return bytes
}

/** A backup opened for reading. */
export class Archive {
  readonly about: BackupAbout
  readonly files: readonly BackedUp[]
  readonly #file: string
  readonly #database: Database

  /** @throws UsageError for a file that is not a backup, DatabaseError */
  static async open(file: string): Promise<Archive> {
    const kind = await stat(file).catch((cause) => {
      throw new UsageError(`backup ${file} cannot be read: ${reasonOf(cause)}`, { cause })
    })
    if (!kind.isFile()) {
      throw new UsageError(`backup ${file} is not a regular file`)
    }
    const database = await openToRead({ file, name: 'the backup', ifDamaged: IF_DAMAGED })
    try {
      return new Archive(file, database)
    } catch (error) {
      database.close()
      throw error
    }
  }

  private constructor(file: string, database: Database) {
    this.#file = file
    this.#database = database
    const { application_id: id } = database.prepare('PRAGMA application_id').get() ?? {}
    const { user_version: format } = database.prepare('PRAGMA user_version').get() ?? {}
    if (id !== APPLICATION_ID) {
      throw new UsageError(`${file} is not a backup of a home`, { hint: '"subnet backup FILE" makes one' })
    }
    // a view or trigger could run arbitrary SQL
    if (database.prepare("SELECT 1 FROM sqlite_schema WHERE type NOT IN ('table', 'index') LIMIT 1").all().length > 0) {
      throw new UsageError(`backup ${file} contains SQL views or triggers, which no backup of subnet has`)
    }
    if (format !== FORMAT) {
      throw new UsageError(`backup ${file} has format ${String(format)}, but this program reads ${FORMAT}`, { hint: 'update subnet' })
    }
    const [about] = database.prepare('SELECT peer_id AS peerId, created_at_ms AS createdAtMs FROM about LIMIT 1').all()
    if (!/^\w{1,128}$/.test(String(about?.['peerId']))) {
      throw new UsageError(`backup ${file} is damaged: it names no peer`, { hint: IF_DAMAGED })
    }
    const names = database.prepare('SELECT name, bytes FROM file LIMIT 100').all()
    this.about = { peerId: String(about?.['peerId']), createdAtMs: Number(about?.['createdAtMs']) }
    this.files = names.map(({ name, bytes }) => this.#known(String(name), Number(bytes)))
  }

  /** Extracts a file to a new path, with mode 0600. @throws UsageError if its content is damaged */
  async extract({ name, bytes }: BackedUp, path: string): Promise<void> {
    const hash = createHash('sha256')
    await using file = await open(path, 'wx', 0o600)
    let size = 0
    for (const { content } of this.#database
      .prepare(`SELECT content FROM part WHERE name = ? AND length(content) <= ${PART_BYTES} ORDER BY number`)
      .iterate(name)) {
      const part = content as Uint8Array
      size += part.byteLength
      if (size > bytes) {
        break
      }
      hash.update(part)
      await file.writeFile(part)
    }
    await file.sync()
    const { sha256 } = this.#database.prepare('SELECT sha256 FROM file WHERE name = ?').get(name) ?? {}
    if (size !== bytes || hash.digest('hex') !== sha256) {
      throw new UsageError(`backup ${this.#file} is damaged: ${name} does not match its checksum`, { hint: IF_DAMAGED })
    }
  }

  close(): void {
    this.#database.close()
  }

  #known(name: string, bytes: number): BackedUp {
    if (!Object.hasOwn(BACKUP_FILES, name)) {
      throw new UsageError(`backup ${this.#file} contains a file that no home has: ${JSON.stringify(name.slice(0, 100))}`)
    }
    checkSize(name as BackupFile, bytes)
    return { name: name as BackupFile, bytes }
  }
}

function checkSize(name: BackupFile, bytes: number): void {
  if (!(bytes >= 0 && bytes <= BACKUP_FILES[name])) {
    throw new UsageError(`${name} is larger than the limit of a backup: ${BACKUP_FILES[name]} bytes`)
  }
}
