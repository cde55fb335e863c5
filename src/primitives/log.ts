const LEVELS = ['silent', 'error', 'warn', 'info', 'debug', 'trace'] as const

export type LogLevel = (typeof LEVELS)[number]

/** Where a part of the node says what it did. Lines go to stderr; stdout is for answers only. */
export interface Logger {
  error(message: string, cause?: unknown): void
  warn(message: string, cause?: unknown): void
  info(message: string): void
  debug(message: string, cause?: unknown): void
}

export const LOG_LEVELS: readonly LogLevel[] = LEVELS

/** A logger that writes the lines of `level` and above, one line each, through `write`. */
export function createLogger(level: LogLevel, write: (line: string) => void): Logger {
  const threshold = LEVELS.indexOf(level)
  const at =
    (name: LogLevel) =>
    (message: string, cause?: unknown): void => {
      if (LEVELS.indexOf(name) <= threshold) {
        const detail = cause == null ? '' : `: ${cause instanceof Error ? cause.message : String(cause)}`
        write(`${name}: ${message}${detail}\n`)
      }
    }
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') }
}
