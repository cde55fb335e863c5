import type { WriteStream } from 'node:tty'
import { chalkStderr } from 'chalk'
import { humanMs } from '../../primitives/human-ms.ts'
import { cut } from './render.ts'

/** How far a work of many parts is. */
export interface ProgressState {
  /** The part of the work that runs, where it has parts. */
  what?: string
  done: number
  /** Of those done. */
  failed?: number
  inFlight?: number
  elapsedMs: number
  /** The share that is done, from 0 to 1, where the whole is known. */
  share: number | undefined
}

export interface Progress {
  /** Takes the line away, for good. */
  stop(): void
}

type Terminal = Pick<WriteStream, 'columns' | 'write'>

const REDRAW_MS = 100
export const BAR_WIDTH = 20
const MIN_BAR_WIDTH = 5
/** Below this many columns the figures need the room. */
const MIN_COLUMNS_FOR_BAR = 80
/** Takes the line away. */
export const BLANK = '\r\u001b[K'

/** One line on stderr that shows how far it is; undefined where stderr is no terminal that could show it. */
export function showProgress(state: () => ProgressState): Progress | undefined {
  return showLine((columns) => describeProgress(state(), columns))
}

/** The same of any line. @param line for a terminal of so many columns; undefined where there is nothing to show yet */
export function showLine(line: (columns: number) => string | undefined): Progress | undefined {
  const { stderr, stdout } = process
  if (stderr.isTTY !== true || chalkStderr.level === 0) {
    return undefined
  }
  return drawLine(line, stderr, stdout.isTTY === true ? [stderr, stdout] : [stderr])
}

/** Redraws the line ten times a second. Before anything is written to one of `streams`, it is taken away. */
export function drawLine(line: (columns: number) => string | undefined, terminal: Terminal, streams: Terminal[]): Progress {
  const draw = terminal.write.bind(terminal)
  let shown = false
  const clear = (): void => {
    if (shown) {
      shown = false
      draw(BLANK)
    }
  }
  const restore = streams.map((stream) => clearingBefore(stream, clear))
  const timer = setInterval(() => {
    const text = line(terminal.columns)
    if (text != null) {
      shown = true
      draw(`${BLANK}${text}`)
    }
  }, REDRAW_MS)
  timer.unref()
  return {
    stop: () => {
      clearInterval(timer)
      clear()
      for (const undo of restore) {
        undo()
      }
    },
  }
}

/** `[=====>     ] 41 %, 4100 done, 813/s, 64 in flight, 3 failed, 7 s left` */
export function describeProgress({ what, done, failed, inFlight, elapsedMs, share }: ProgressState, columns: number): string {
  const parts = [...(what == null ? [] : [what]), `${done} done`, rate(done, elapsedMs)]
  if (inFlight != null) {
    parts.push(`${inFlight} in flight`)
  }
  if (failed != null) {
    parts.push(`${failed} failed`)
  }
  if (share != null && share > 0 && done > 0) {
    parts.push(`${humanTime((elapsedMs * (1 - share)) / share)} left`)
  }
  const figures = parts.join(', ')
  // a line as wide as the terminal would wrap on some
  return cut(share == null ? figures : `${bar(share, columns < MIN_COLUMNS_FOR_BAR ? 0 : BAR_WIDTH)}${figures}`, columns - 1)
}

/** `813/s`, `0.4/s` */
export function rate(count: number, ms: number): string {
  const perSecond = ms > 0 ? (count / ms) * 1_000 : 0
  return `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)}/s`
}

/** `[=====>     ] 41 %, `; without the bar where `width`, its characters, are too few to be one. */
export function bar(share: number, width: number): string {
  const percent = `${String(Math.floor(share * 100)).padStart(3)} %, `
  if (width < MIN_BAR_WIDTH) {
    return percent.trimStart()
  }
  const full = Math.floor(share * width)
  const drawn = `${'='.repeat(full)}${full < width ? '>' : ''}`
  return `[${drawn.padEnd(width)}] ${percent}`
}

/** Below a second nobody can read it. */
export function humanTime(ms: number): string {
  return ms < 1_000 ? '0 s' : humanMs(ms)
}

/** Calls `clear` before each write; gives what undoes that. */
function clearingBefore(stream: Terminal, clear: () => void): () => void {
  const own = Object.getOwnPropertyDescriptor(stream, 'write')
  const { write } = stream
  stream.write = ((...args: Parameters<typeof write>) => {
    clear()
    return write.apply(stream, args)
  }) as typeof write
  return () => {
    if (own == null) {
      Reflect.deleteProperty(stream, 'write')
    } else {
      Object.defineProperty(stream, 'write', own)
    }
  }
}
