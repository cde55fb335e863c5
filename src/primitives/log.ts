/** From saying nothing to saying everything. */
export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug', 'trace'] as const

/** How much a node says. */
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Where a part of the node says what it did. Lines go to stderr; stdout is for answers only. */
export interface Logger {
  /** Something failed, and nobody else was told. */
  error(message: string, cause?: unknown): void
  /** Something is not as it should be, and the node goes on. */
  warn(message: string, cause?: unknown): void
  /** What an operator may want to follow. */
  info(message: string): void
  /** What a developer may want to follow. */
  debug(message: string, cause?: unknown): void
}

/** A logger that writes the lines of `level` and above, one line each, through `write`. */
export function createLogger(level: LogLevel, write: (line: string) => void): Logger {
  const threshold = LOG_LEVELS.indexOf(level)
  const at =
    (name: LogLevel) =>
    (message: string, cause?: unknown): void => {
      if (LOG_LEVELS.indexOf(name) <= threshold) {
        const detail = cause == null ? '' : `: ${cause instanceof Error ? cause.message : String(cause)}`
        write(`${name}: ${message}${detail}\n`)
      }
    }
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') }
}
