import { constants } from 'node:fs'
import { access, chmod, mkdir, readdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, join, parse, resolve } from 'node:path'
import { reasonOf, UsageError } from '../primitives/errors.ts'

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

const HINT = '--home or SUBNET_HOME names a directory that you can write'

/** @throws UsageError for an empty name, which would be the directory that one happens to be in */
export function homeAt(name: string): Home {
  if (name === '') {
    throw new UsageError('the home has an empty name', { hint: HINT })
  }
  const path = resolve(name)
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
    await mkdir(home.path, { recursive: true, mode: 0o700 })
    await closeToOthers(home)
    await access(home.path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new UsageError(`the home ${home.path} cannot be used: ${reasonOf(cause)}`, { cause, hint: HINT })
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
  const folder = resolve(path)
  if (foreign && ((mode & 0o022) !== 0 || folder === parse(folder).root || folder === homedir())) {
    throw new Error('it holds other things and is open to others; take an empty one, or chmod 700 it first')
  }
  await chmod(path, 0o700)
}
