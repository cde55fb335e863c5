import { constants } from 'node:fs'
import { access, chmod, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describeError, UsageError } from '../primitives/errors.ts'

/** The directory of one node, and what lies in it. */
export interface Home {
  path: string
  identityFile: string
  configFile: string
  databaseFile: string
  lockFile: string
  pidFile: string
  ledgerFile: string
}

export function homeAt(path: string): Home {
  return {
    path,
    identityFile: join(path, 'identity.key'),
    configFile: join(path, 'config.json'),
    databaseFile: join(path, 'node.db'),
    lockFile: join(path, 'node.lock'),
    pidFile: join(path, 'node.pid'),
    ledgerFile: join(path, 'ledger.db'),
  }
}

/** Makes the home (0700) if it is not there. @throws UsageError when it cannot be used */
export async function ensureHome(home: Home): Promise<void> {
  try {
    await mkdir(home.path, { recursive: true, mode: 0o700 })
    const { mode } = await stat(home.path)
    if ((mode & 0o077) !== 0) {
      await chmod(home.path, 0o700)
    }
    await access(home.path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new UsageError(`the home ${home.path} cannot be used: ${describeError(cause)}`, {
      cause,
      hint: '--home or SUBNET_HOME names a directory that you can write',
    })
  }
}
