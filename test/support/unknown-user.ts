import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const [PROGRAM, ...ARGS] = ['unshare', '--user', '--map-user=54321', '--map-group=54321']

/**
 * Before a command it makes the command run as a user that /etc/passwd does not know, as of `docker run --user 54321`: without rights of root,
 * with the files of the user who runs the tests. Whoever may make user namespaces can do so, root or not.
 */
export const asUnknownUser = [PROGRAM, ...ARGS]

/** The same without HOME and SHELL. */
export const asUserWithoutHome = [...asUnknownUser, 'env', '-u', 'HOME', '-u', 'SHELL', '-u', 'XDG_DATA_HOME']

/** Why there can be no such user here; undefined where there can. */
export async function whyNoUnknownUser(): Promise<string | undefined> {
  try {
    await promisify(execFile)(PROGRAM, [...ARGS, 'true'])
    return undefined
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).trim().replaceAll(/\s+/g, ' ')
  }
}
