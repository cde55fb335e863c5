/** Ordered from least to most verbose. */
export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug', 'trace'] as const

/** The verbosity of a log. */
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * The parts of a node with separate logs: `call` covers calls and requests of all protocols, `node` everything without a scope, `libp2p`
 * the log of libp2p, at `trace` only.
 */
export const LOG_SCOPES = ['node', 'call', 'resolve', 'dial', 'gossip', 'chain', 'admission', 'session', 'libp2p'] as const

/** The name of a log scope. */
export type LogScope = (typeof LOG_SCOPES)[number]

/** Precedes the name of a scope in lines; optional in rules. */
export const SCOPE_PREFIX = 'subnet:'

/** Matches all scopes in a rule. */
const ALL = '*'

/** The log level of each scope. */
export type LogFilter = Readonly<Record<LogScope, LogLevel>>

interface LogRule {
  scope: LogScope | typeof ALL
  level: LogLevel
}

/** Parses `call:debug`, `subnet:call:debug` or `*:warn`. @throws Error that names the expected format */
export function parseLogRule(text: string): LogRule {
  const colon = text.lastIndexOf(':')
  const [name, level] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)]
  const scope = [ALL, ...LOG_SCOPES].find((each) => each === name || `${SCOPE_PREFIX}${each}` === name)
  const found = LOG_LEVELS.find((each) => each === level)
  if (scope == null || found == null) {
    throw new Error(`SCOPE:LEVEL, with a scope of ${[ALL, ...LOG_SCOPES].join(', ')} and a level of ${LOG_LEVELS.join(', ')}`)
  }
  return { scope: scope as LogRule['scope'], level: found }
}

/**
 * The level of each scope: the last rule for the scope, else the last rule for all scopes, else `level`.
 * @param options.levelFirst `level` takes precedence over a rule for all scopes
 */
export function logFilter(level: LogLevel, rules: readonly string[] = [], { levelFirst = false } = {}): LogFilter {
  const read = rules.map(parseLogRule)
  const of = (scope: LogRule['scope']): LogLevel | undefined => read.findLast((rule) => rule.scope === scope)?.level
  const others = (levelFirst ? undefined : of(ALL)) ?? level
  return Object.fromEntries(LOG_SCOPES.map((scope) => [scope, of(scope) ?? others])) as LogFilter
}

/** Whether a message of level `said` passes a filter of level `heard`. */
export function isHeard(said: LogLevel, heard: LogLevel): boolean {
  return LOG_LEVELS.indexOf(said) <= LOG_LEVELS.indexOf(heard)
}
