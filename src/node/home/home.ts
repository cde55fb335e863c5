import { constants } from 'node:fs'
import { access, chmod, readdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, join, parse } from 'node:path'
import { reasonOf, UsageError } from '../../primitives/errors.ts'
import { makeFolder } from '../../primitives/folder.ts'
import { fullPath } from '../../primitives/full-path.ts'

export { reasonOf }

/** The directory of one node, and what lies in it. */
export interface Home {
  path: string
  identityFile: string
  configFile: string
  databaseFile: string
  lockFile: string
  pidFile: string
  ledgerFile: string
  /** The peer IDs of key files in which a damage would not show. */
  knownKeysFile: string
  /** Metadata of chains. */
  chainCacheFolder: string
}

export const HOME_HINT = '--home or SUBNET_HOME names a directory that you can write'

/** @throws UsageError for an empty name, which would be the directory that one happens to be in, and where that is gone */
export function homeAt(name: string): Home {
  if (name === '') {
    throw new UsageError('the home has an empty name', { hint: HOME_HINT })
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

/** Makes the home (0700) if it is not there. @throws UsageError when it cannot be used */
export async function ensureHome(home: Home): Promise<void> {
  try {
    await makeFolder(home.path, 0o700)
    await closeToOthers(home)
    await access(home.path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new UsageError(`the home ${home.path} cannot be used: ${reasonOf(cause)}`, { cause, hint: HOME_HINT })
  }
}

/** The user's own folder; undefined where HOME is empty, or there is none and the system does not know the user. */
export function userFolder(): string | undefined {
  try {
    return homedir() || undefined
  } catch {
    return undefined
  }
}

/** A directory that others use too is left as it is: /tmp, / or a user's own folder must never become 0700 by a slip. */
async function closeToOthers({ path, ...files }: Home): Promise<void> {
  const { mode } = await stat(path)
  if ((mode & 0o077) === 0) {
    return
  }
  const names = await readdir(path)
  const foreign = names.length > 0 && !Object.values(files).some((file) => names.includes(basename(file)))
  if (foreign && ((mode & 0o022) !== 0 || path === parse(path).root || path === userFolder())) {
    throw new Error('it holds other things and is open to others; take an empty one, or chmod 700 it first')
  }
  await chmod(path, 0o700)
}
