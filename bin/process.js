import { homedir, userInfo } from 'node:os'

/** Exit codes, as in src/primitives/errors.ts. */
const SUCCESS = 0
const INTERNAL = 1
/** Common flags that a value follows. */
const WITH_VALUE = ['--home', '--timeout', '--log-level']

/**
 * How the process takes signals until its command has loaded. By SIGUSR1 Node would open an inspector. A node that is told to end before there is one
 * ends as one that ran; a script that was not run does not.
 * @param {string[]} args
 */
export function takeSignals(args) {
  process.on('SIGUSR1', () => undefined)
  if (args[0] === 'start' && !args.some((arg) => arg.startsWith('--script'))) {
    for (const signal of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM']) {
      process.on(signal, () => process.exit(SUCCESS))
    }
  }
}

/**
 * The words from the command on: what stands before it are common flags.
 * @param {string[]} args
 */
export function fromCommand(args) {
  let at = 0
  while (args[at]?.startsWith('--')) {
    at += WITH_VALUE.includes(args[at]) ? 2 : 1
  }
  return args.slice(at)
}

/**
 * oclif asks for the user's home directory and shell as it loads, and throws for a user whom the system does not know (`docker run --user`). Empty
 * names are none, for oclif and for programs that this process runs.
 */
export function standInForUser() {
  if (throws(homedir)) {
    process.env.HOME = ''
  }
  if (process.env.SHELL == null && throws(userInfo)) {
    process.env.SHELL = ''
  }
}

/** Says that the command line itself could not be loaded: a part of it is missing, or the system refused a file. */
export function tellLoadFailure(error, args) {
  const message = `subnet cannot be loaded: ${String(error?.message ?? error).replaceAll(/\s+/g, ' ')}`
  const hint = 'install it again; in a clone, "npm ci" builds it'
  process.exitCode = INTERNAL
  if (args.includes('--json')) {
    process.stdout.write(`${JSON.stringify({ error: { code: 'INTERNAL', exit: INTERNAL, message, hint } })}\n`)
  } else {
    process.stderr.write(`error: ${message}\nhint: ${hint}\n`)
  }
}

function throws(work) {
  try {
    work()
    return false
  } catch {
    return true
  }
}
