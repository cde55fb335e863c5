import { isHeard, type LogFilter, type LogLevel, type LogScope, logFilter } from './log-filter.ts'
import { type LogFields, shortLine, type WriteEntry } from './log-format.ts'

/** Tells one thing: what happened, why (an error, or words), and what it is about. */
export type Tell = (message: string, reason?: unknown, fields?: LogFields) => void

/**
 * Where a part of the node says what it did. Lines go to stderr; stdout is for answers only. Peers may have a say in a message, a reason or a field:
 * each is made harmless and bounded before it is written.
 */
export interface Logger {
  /** Something failed, and nobody else was told. */
  readonly error: Tell
  /** Something is not as it should be, and the node goes on. */
  readonly warn: Tell
  /** What an operator may want to follow. */
  readonly info: Tell
  /** What somebody who looks for a cause wants to know: each decision, and its reason. */
  readonly debug: Tell
  /** The same log for another part of the node. */
  scoped(scope: LogScope): Logger
}

export interface LoggerOptions {
  /** @default the short lines of a terminal */
  line?: WriteEntry
  now?: () => number
}

/** Says nothing, and costs nothing. */
const nothing: Tell = () => undefined

/** A logger of the scope `node` that writes the lines that pass the filter, one line each, through `write`. */
export function createLogger(
  level: LogLevel | LogFilter,
  write: (line: string) => void,
  { line = shortLine, now = Date.now }: LoggerOptions = {},
): Logger {
  const filter = typeof level === 'string' ? logFilter(level) : level
  const scoped = (scope: LogScope): Logger => {
    const at = (said: LogLevel): Tell =>
      isHeard(said, filter[scope])
        ? (message, reason, fields) => write(`${line({ timeMs: now(), level: said, scope, message, reason, fields })}\n`)
        : nothing
    return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug'), scoped }
  }
  return scoped('node')
}
