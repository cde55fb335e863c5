import { EventEmitter, on } from 'node:events'
import type { Logger, LogLevel } from '../../src/index.ts'
import { jsonLine } from '../../src/observe/log-format.ts'
import { createLogger } from '../../src/observe/logger.ts'

/** A line of the log, read as JSON. */
export type Told = { level: string; scope: string; message: string; reason?: string } & Record<string, unknown>

/** A log that keeps its lines, and lets tests wait for one. */
export class ToldLog {
  readonly lines: Told[] = []
  readonly log: Logger
  readonly #events = new EventEmitter<{ line: [Told] }>()

  constructor(level: LogLevel = 'debug') {
    const write = (line: string): void => {
      const { time: _, ...told } = JSON.parse(line) as Told
      this.lines.push(told as Told)
      this.#events.emit('line', told as Told)
    }
    this.log = createLogger(level, write, { line: jsonLine })
  }

  /** The first line that fits, of those that were written and those to come. */
  async first(fits: Partial<Told>): Promise<Told> {
    const matches = (line: Told): boolean => Object.entries(fits).every(([name, value]) => line[name] === value)
    const coming = on(this.#events, 'line', { signal: AbortSignal.timeout(10_000) })
    const written = this.lines.find(matches)
    if (written != null) {
      await coming.return?.()
      return written
    }
    for await (const [line] of coming) {
      if (matches(line)) {
        return line
      }
    }
    throw new Error('unreachable: the iterator of events does not end')
  }
}
