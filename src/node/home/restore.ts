import { link, lstat, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { openToRead } from '../../primitives/database.ts'
import { UsageError } from '../../primitives/errors.ts'
import { fullPath } from '../../primitives/full-path.ts'
import { Archive, BACKUP_FILES, type BackedUp } from './backup-archive.ts'
import { readConfigFile } from './config-file.ts'
import { ensureHome, type Home, homeAt, reasonOf } from './home.ts'
import { openHomeDatabase } from './home-database.ts'
import { readKeyFile } from './identity.ts'
import { HomeLock } from './lock.ts'

export interface RestoreAnswer {
  home: string
  peerId: string
  /** Creation time of the backup, as Unix time in milliseconds. */
  createdAtMs: number
  files: BackedUp[]
}

/**
 * Restores a backup into a home. All files are read and checked first, the key is written last, and no file is replaced.
 * @throws UsageError if the home has any of these files or the backup is damaged; NodeError ALREADY_RUNNING
 */
export async function restore(home: Home, file: string): Promise<RestoreAnswer> {
  const archive = await Archive.open(fullPath(file))
  try {
    await ensureHome(home)
    await refuseUsed(home)
    const lock = await HomeLock.acquire(home)
    try {
      await fill(home, archive)
    } finally {
      await lock.release()
    }
    const { about, files } = archive
    return { home: home.path, ...about, files: [...files] }
  } finally {
    archive.close()
  }
}

/** @throws UsageError */
async function refuseUsed({ path }: Home): Promise<void> {
  for (const name of Object.keys(BACKUP_FILES)) {
    if ((await lstat(join(path, name)).catch(() => undefined)) != null) {
      throw new UsageError(`the home ${path} is in use: it has ${name}`, { hint: 'a backup replaces nothing: --home names an empty home' })
    }
  }
}

async function fill(home: Home, archive: Archive): Promise<void> {
  const folder = await mkdtemp(join(home.path, '.restore.'))
  const placed: string[] = []
  try {
    for (const file of archive.files) {
      await archive.extract(file, join(folder, file.name))
    }
    await check(homeAt(folder), archive)
    const [key, others] = [archive.files.filter(isKey), archive.files.filter((file) => !isKey(file))]
    for (const { name } of [...others, ...key]) {
      await link(join(folder, name), join(home.path, name))
      placed.push(name)
    }
  } catch (cause) {
    await Promise.all(placed.map(async (name) => rm(join(home.path, name), { force: true })))
    throw (cause as NodeJS.ErrnoException).syscall == null
      ? cause
      : new UsageError(`the home ${home.path} cannot be written: ${reasonOf(cause)}`, { cause })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Checks that a node could use the files. @throws UsageError, DatabaseError, DatabaseVersionError */
async function check(staged: Home, { about, files }: Archive): Promise<void> {
  const has = new Set<string>(files.map(({ name }) => name))
  if (has.has('identity.key')) {
    const { publicKey } = await readKeyFile(staged.identityFile)
    const peerId = peerIdFromPublicKey(publicKey).toString()
    if (peerId !== about.peerId) {
      throw new UsageError(`the backup is damaged: it belongs to ${about.peerId}, but its key belongs to ${peerId}`)
    }
  }
  await readConfigFile(staged.configFile)
  if (has.has('node.db')) {
    ;(await openHomeDatabase(staged)).close()
  }
  for (const file of [staged.databaseFile, staged.ledgerFile].filter((path) => has.has(path.slice(staged.path.length + 1)))) {
    const database = await openToRead({ file })
    const [found] = database.prepare('PRAGMA quick_check(1)').all()
    database.close()
    if (found?.['quick_check'] !== 'ok') {
      throw new UsageError(`the backup is damaged: ${String(found?.['quick_check'])}`)
    }
  }
}

function isKey({ name }: BackedUp): boolean {
  return name === 'identity.key'
}
