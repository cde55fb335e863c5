import { createReadStream } from 'node:fs'
import { copyFile, lstat, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { backup } from 'node:sqlite'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { splitChain } from '../../chain/chain-url.ts'
import { AtomicFile } from '../../primitives/atomic-file.ts'
import { openToRead } from '../../primitives/database.ts'
import { toDatabaseError } from '../../primitives/database-error.ts'
import { UsageError } from '../../primitives/errors.ts'
import { fullPath } from '../../primitives/full-path.ts'
import { type BackedUp, type BackupFile, writeArchive } from './backup-archive.ts'
import type { Settings } from './config.ts'
import { type Home, reasonOf } from './home.ts'
import { readKeyFile } from './identity.ts'

export interface BackupAnswer {
  file: string
  peerId: string
  files: BackedUp[]
  /** Files that the node needs but the backup does not contain. */
  left: string[]
}

/** Copies all pages in one step. In several steps, each write by another process would restart the copy. */
const ALL_PAGES = 2 ** 31 - 1

/**
 * Writes an atomic backup of a home to one file with mode 0600: key, config, address book, and the ledger if it is the home's own. A node
 * may be running: each database is copied as a snapshot. @throws UsageError if the file exists or the home has no key
 */
export async function backUp(home: Home, settings: Pick<Settings, 'key' | 'chain' | 'timeout'>, file: string): Promise<BackupAnswer> {
  const target = fullPath(file)
  if ((await lstat(target).catch(() => undefined)) != null) {
    throw alreadyThere(target)
  }
  const hasOwnKey = (await stat(home.identityFile).catch(() => undefined)) != null
  if (!hasOwnKey && settings.key == null) {
    throw new UsageError(`there is nothing to back up: ${home.path} has no identity key`, { hint: '--home names another home' })
  }
  // beside the target: the copies contain the key and need the same space as the backup
  const folder = await mkdtemp(join(dirname(target), `.${basename(target).slice(0, 50)}.`)).catch((cause) => {
    throw cannotWrite(target, cause)
  })
  try {
    const key = await readKeyFile(hasOwnKey ? home.identityFile : (settings.key ?? home.identityFile), { timeoutMs: settings.timeout })
    const peerId = peerIdFromPublicKey(key.publicKey).toString()
    const archive = join(folder, 'archive')
    const files = await writeArchive(archive, { peerId, createdAtMs: Date.now() }, await copiesOf(home, settings, folder))
    await publish(archive, target)
    return { file: target, peerId, files, left: leftOut(home, settings) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Copies the files of a home, each as a snapshot. */
async function copiesOf(
  home: Home,
  { chain }: Pick<Settings, 'chain'>,
  folder: string,
): Promise<Array<{ name: BackupFile; path: string }>> {
  const copies: Array<{ name: BackupFile; path: string }> = []
  for (const file of [home.identityFile, home.knownKeysFile, home.configFile]) {
    const path = join(folder, basename(file))
    if (await copyIfThere(file, path)) {
      copies.push({ name: basename(file) as BackupFile, path })
    }
  }
  for (const file of [home.databaseFile, ...(ledgerOf(home, chain) === home.ledgerFile ? [home.ledgerFile] : [])]) {
    if ((await stat(file).catch(() => undefined)) != null) {
      const path = join(folder, basename(file))
      await copyDatabase(file, path)
      copies.push({ name: basename(file) as BackupFile, path })
    }
  }
  return copies
}

/** @throws UsageError */
async function copyIfThere(file: string, to: string): Promise<boolean> {
  try {
    await copyFile(file, to)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      return false
    }
    throw new UsageError(`${file} cannot be copied: ${reasonOf(cause)}`, { cause })
  }
}

/** @throws DatabaseError */
async function copyDatabase(file: string, to: string): Promise<void> {
  const about = { file, name: 'the database' }
  const source = await openToRead(about)
  try {
    await backup(source, to, { rate: ALL_PAGES })
  } catch (error) {
    throw toDatabaseError(error, about)
  } finally {
    source.close()
  }
}

async function publish(archive: string, target: string): Promise<void> {
  let output: AtomicFile | undefined
  try {
    output = await AtomicFile.open(target, 0o600)
    await output.writeAll(createReadStream(archive))
    await output.commitNew()
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code === 'EEXIST' ? alreadyThere(target) : cannotWrite(target, cause)
  } finally {
    await output?.discard()
  }
}

/** The file of a ledger. Undefined for another chain. */
function ledgerOf(home: Home, chain: string): string | undefined {
  const split = splitChain(chain)
  return split?.driver === 'ledger' ? fullPath(split.rest || home.ledgerFile) : undefined
}

function leftOut(home: Home, { key, chain }: Pick<Settings, 'key' | 'chain'>): string[] {
  const ledger = ledgerOf(home, chain)
  return [...(key == null ? [] : [fullPath(key)]), ...(ledger == null || ledger === home.ledgerFile ? [] : [ledger])]
}

function alreadyThere(file: string): UsageError {
  return new UsageError(`there is a file already: ${file}`, { hint: 'a backup replaces nothing: give it another name' })
}

function cannotWrite(file: string, cause: unknown): UsageError {
  return new UsageError(`backup ${file} cannot be written: ${reasonOf(cause)}`, {
    cause,
    hint: `choose a file in a folder that you can write, for example in ${tmpdir()}`,
  })
}
