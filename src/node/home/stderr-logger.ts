import { type LogFilter, logFilter } from '../../observe/log-filter.ts'
import { lineOf } from '../../observe/log-format.ts'
import { createLogger, type Logger } from '../../observe/logger.ts'
import type { SettingName, SettingSource, Settings } from './config.ts'

type LogSettings = Pick<Settings, 'logLevel' | 'logFormat' | 'log'>

/** What the scopes may say. A level given as a flag counts more than a rule for all that was not. */
export function logFilterOf({ logLevel, log }: LogSettings, sources?: Record<SettingName, SettingSource>): LogFilter {
  return logFilter(logLevel, log, { levelFirst: sources?.logLevel === 'flag' && sources.log !== 'flag' })
}

/** The log of this process, on stderr. */
export function stderrLogger(settings: LogSettings, filter = logFilterOf(settings)): Logger {
  return createLogger(filter, (line) => process.stderr.write(line), { line: lineOf(settings.logFormat, filter) })
}
