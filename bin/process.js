import { homedir, userInfo } from 'node:os'

/** Exit codes, as in src/primitives/errors.ts. */
const SUCCESS = 0
const INTERNAL = 1
/** Common flags that take a value. */
const WITH_VALUE = ['--home', '--timeout', '--log-level']

/**
 * Handles signals until the command has loaded. By default, SIGUSR1 would open Node's inspector. A `start` that is stopped before its node
 * exists exits like a stopped node; a script that did not run does not.
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
 * Returns the words from the command on, without the common flags before it.
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
 * Sets HOME and SHELL for a user without an entry in the system's user database (`docker run --user`). While loading, oclif looks up both,
 * and throws for such a user. Empty values count as unset, for oclif and for child processes.
 */
export function standInForUser() {
  if (throws(homedir)) {
    process.env.HOME = ''
  }
  if (process.env.SHELL == null && throws(userInfo)) {
    process.env.SHELL = ''
  }
}

/** Reports that the command line failed to load: a file is missing, or the system denied access. */
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
