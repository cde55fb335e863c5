import { isHeard, type LogFilter, logFilter } from '../../observe/log-filter.ts'
import { type LogEntry, lineOf, shortLine } from '../../observe/log-format.ts'
import { createLogger, type Logger } from '../../observe/logger.ts'
import type { SettingName, SettingSource, Settings } from './config.ts'

type LogSettings = Pick<Settings, 'logLevel' | 'logFormat' | 'log'>

/** What the scopes may say. A level given as a flag counts more than a rule for all that was not. */
export function logFilterOf({ logLevel, log }: LogSettings, sources?: Record<SettingName, SettingSource>): LogFilter {
  return logFilter(logLevel, log, { levelFirst: sources?.logLevel === 'flag' && sources.log !== 'flag' })
}

/** The log of this process, on stderr. */
export function stderrLogger(settings: LogSettings, filter = logFilterOf(settings), line = lineOf(settings.logFormat, filter)): Logger {
  return createLogger(filter, (text) => process.stderr.write(text), { line })
}

/** The same for a node in somebody else's program: its warnings stand among other lines of a terminal, and stay short there. */
export function embeddedLogger(settings: LogSettings): Logger {
  const filter = logFilterOf(settings)
  const line = lineOf(settings.logFormat, filter)
  const isShort = ({ level }: LogEntry): boolean => settings.logFormat === 'text' && isHeard(level, 'warn')
  return stderrLogger(settings, filter, (entry) => (isShort(entry) ? shortLine(entry) : line(entry)))
}
