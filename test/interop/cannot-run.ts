import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The exit code for it. */
export const CANNOT_RUN = 77

/** Why the tests with a stack cannot be run here: nothing was found out about the code. */
export class CannotRun extends Error {}

/** What a program prints, without the space around it. @throws CannotRun with what it complains about */
export async function run(
  program: string,
  args: string[],
  what: string,
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  try {
    return (await promisify(execFile)(program, args, { maxBuffer: 64 * 1024 * 1024, ...options })).stdout.trim()
  } catch (cause) {
    const { stderr, message } = cause as Error & { stderr?: string }
    const lines = (stderr || message).trim().split('\n')
    throw new CannotRun(`${what}: ${lines.findLast((line) => line.startsWith('ERROR:')) ?? lines.at(-1)}`, { cause })
  }
}

/** Makes what the peers of a stack need, and prints its versions. Where that cannot be done: one line on stderr, exit code 77. */
export async function makeOrSay(make: () => Promise<string>): Promise<void> {
  try {
    process.stdout.write(`${await make()}\n`)
  } catch (error) {
    if (!(error instanceof CannotRun)) {
      throw error
    }
    process.stderr.write(`the interop tests cannot run here: ${error.message}\n`)
    process.exitCode = CANNOT_RUN
  }
}
