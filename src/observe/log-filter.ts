/** From saying nothing to saying everything. */
export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug', 'trace'] as const

/** How much a node says. */
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * The parts of a node that have a log of their own; `call` is calls and requests of all protocols, `node` what belongs to no other part, `libp2p`
 * what libp2p tells of itself, at `trace` only.
 */
export const LOG_SCOPES = ['node', 'call', 'resolve', 'dial', 'gossip', 'chain', 'admission', 'session', 'libp2p'] as const

/** The name of such a part. */
export type LogScope = (typeof LOG_SCOPES)[number]

/** Stands before the name of a scope in lines, and may stand there in rules. */
export const SCOPE_PREFIX = 'subnet:'

/** All scopes, in a rule. */
const ALL = '*'

/** What the scopes may say, each by itself. */
export type LogFilter = Readonly<Record<LogScope, LogLevel>>

interface LogRule {
  scope: LogScope | typeof ALL
  level: LogLevel
}

/** Reads `call:debug`, `subnet:call:debug` or `*:warn`. @throws Error that says what is expected */
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
 * What the scopes may say: the last rule that names one, else the last rule for all, else `level`.
 * @param options.levelFirst `level` counts more than a rule for all
 */
export function logFilter(level: LogLevel, rules: readonly string[] = [], { levelFirst = false } = {}): LogFilter {
  const read = rules.map(parseLogRule)
  const of = (scope: LogRule['scope']): LogLevel | undefined => read.findLast((rule) => rule.scope === scope)?.level
  const others = (levelFirst ? undefined : of(ALL)) ?? level
  return Object.fromEntries(LOG_SCOPES.map((scope) => [scope, of(scope) ?? others])) as LogFilter
}

/** Whether what is said at one level is heard at another. */
export function isHeard(said: LogLevel, heard: LogLevel): boolean {
  return LOG_LEVELS.indexOf(said) <= LOG_LEVELS.indexOf(heard)
}
