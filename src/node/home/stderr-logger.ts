import { isHeard, type LogFilter, logFilter } from '../../observe/log-filter.ts'
import { type LogEntry, lineOf, shortLine } from '../../observe/log-format.ts'
import { createLogger, type Logger } from '../../observe/logger.ts'
import type { SettingName, SettingSource, Settings } from './config.ts'

type LogSettings = Pick<Settings, 'logLevel' | 'logFormat' | 'log'>

/** Creates the log filter. A log level from a flag overrides rules from other sources. */
export function logFilterOf({ logLevel, log }: LogSettings, sources?: Record<SettingName, SettingSource>): LogFilter {
  return logFilter(logLevel, log, { levelFirst: sources?.logLevel === 'flag' && sources.log !== 'flag' })
}

/** Creates the logger of this process, on stderr. */
export function stderrLogger(settings: LogSettings, filter = logFilterOf(settings), line = lineOf(settings.logFormat, filter)): Logger {
  return createLogger(filter, (text) => process.stderr.write(text), { line })
}

/**
 * Creates the logger of a node embedded in another program. Its warnings are short, because they appear among that program's own output.
 */
export function embeddedLogger(settings: LogSettings): Logger {
  const filter = logFilterOf(settings)
  const line = lineOf(settings.logFormat, filter)
  const isShort = ({ level }: LogEntry): boolean => settings.logFormat === 'text' && isHeard(level, 'warn')
  return stderrLogger(settings, filter, (entry) => (isShort(entry) ? shortLine(entry) : line(entry)))
}
