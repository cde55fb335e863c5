import { constants } from 'node:fs'
import { access, chmod, readdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, join, parse } from 'node:path'
import { reasonOf, UsageError } from '../../primitives/errors.ts'
import { makeFolder } from '../../primitives/folder.ts'
import { fullPath } from '../../primitives/full-path.ts'

export { reasonOf }

/** The directory of one node and its files. */
export interface Home {
  path: string
  identityFile: string
  configFile: string
  databaseFile: string
  lockFile: string
  pidFile: string
  ledgerFile: string
  /** Peer IDs of key files without redundancy, in which damage would go unnoticed. */
  knownKeysFile: string
  /** Cached chain metadata. */
  chainCacheFolder: string
}

export const HOME_HINT = '--home or SUBNET_HOME names a directory that you can write'

/** @throws UsageError for an empty name, which would mean the working directory, and for a working directory that no longer exists */
export function homeAt(name: string): Home {
  if (name === '') {
    throw new UsageError('the path of the home is empty', { hint: HOME_HINT })
  }
  const path = fullPath(name)
  return {
    path,
    identityFile: join(path, 'identity.key'),
    configFile: join(path, 'config.json'),
    databaseFile: join(path, 'node.db'),
    lockFile: join(path, 'node.lock'),
    pidFile: join(path, 'node.pid'),
    ledgerFile: join(path, 'ledger.db'),
    knownKeysFile: join(path, 'known-keys.json'),
    chainCacheFolder: join(path, 'chain'),
  }
}

/** Creates the home with mode 0700 if it is missing. @throws UsageError if it is not usable */
export async function ensureHome(home: Home): Promise<void> {
  try {
    await makeFolder(home.path, 0o700)
    await closeToOthers(home)
    await access(home.path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new UsageError(`the home ${home.path} cannot be used: ${reasonOf(cause)}`, { cause, hint: HOME_HINT })
  }
}

/** The user's home folder. Undefined if HOME is empty, or if HOME is unset and the system does not know the user. */
export function userFolder(): string | undefined {
  try {
    return homedir() || undefined
  } catch {
    return undefined
  }
}

/** Sets mode 0700. Refuses a shared directory: /tmp, / or the user's home folder must not become 0700 by accident. */
async function closeToOthers({ path, ...files }: Home): Promise<void> {
  const { mode } = await stat(path)
  if ((mode & 0o077) === 0) {
    return
  }
  const names = await readdir(path)
  const foreign = names.length > 0 && !Object.values(files).some((file) => names.includes(basename(file)))
  if (foreign && ((mode & 0o022) !== 0 || path === parse(path).root || path === userFolder())) {
    throw new Error('it contains other files and is open to other users; choose an empty directory, or chmod 700 this one first')
  }
  await chmod(path, 0o700)
}
