import { isHeard, type LogFilter, type LogLevel, type LogScope, logFilter } from './log-filter.ts'
import { type LogFields, shortLine, type WriteEntry } from './log-format.ts'

/** Logs one event: what happened, the reason (an error or text), and its fields. */
export type Tell = (message: string, reason?: unknown, fields?: LogFields) => void

/**
 * The log of a part of the node. Lines go to stderr; stdout is for results only. A message, reason or field may contain text from peers, so
 * each is sanitized and truncated before it is written.
 */
export interface Logger {
  /** A failure that is reported nowhere else. */
  readonly error: Tell
  /** An unexpected condition; the node continues. */
  readonly warn: Tell
  /** For operators who follow the node. */
  readonly info: Tell
  /** For debugging: each decision and its reason. */
  readonly debug: Tell
  /** The same log for another part of the node. */
  scoped(scope: LogScope): Logger
}

export interface LoggerOptions {
  /** @default the short format for a terminal */
  line?: WriteEntry
  now?: () => number
}

/** Logs nothing and costs nothing. */
const nothing: Tell = () => undefined

/** A logger of the scope `node`. It filters entries and passes each remaining one to `write` as one line. */
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
