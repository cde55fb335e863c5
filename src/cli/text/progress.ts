import type { WriteStream } from 'node:tty'
import { chalkStderr } from 'chalk'
import { humanMs } from '../../primitives/human-ms.ts'
import { cut } from './render.ts'

/** The progress of a work with many parts. */
export interface ProgressState {
  /** The name of the running part, if the parts have names. */
  what?: string
  done: number
  /** The numbers of rejections and of other failures among the done parts. */
  rejected?: number
  failed?: number
  inFlight?: number
  elapsedMs: number
  /** The done share, from 0 to 1; undefined if the total is unknown. */
  share: number | undefined
}

export interface Progress {
  /** Removes the line permanently. */
  stop(): void
}

type Terminal = Pick<WriteStream, 'columns' | 'write'>

const REDRAW_MS = 100
const BAR_WIDTH = 20
const MIN_BAR_WIDTH = 5
/** The columns around a bar: its ends, and the share. */
const AROUND_BAR = 10
/** Removes the line. */
export const BLANK = '\r\u001b[K'

/** Shows the progress in one line on stderr; undefined if stderr is not a suitable terminal. */
export function showProgress(state: () => ProgressState): Progress | undefined {
  return showLine((columns) => describeProgress(state(), columns))
}

/** Shows any line on stderr. @param line returns the line for this many columns; undefined if there is nothing to show yet */
export function showLine(line: (columns: number) => string | undefined): Progress | undefined {
  const { stderr, stdout } = process
  if (stderr.isTTY !== true || chalkStderr.level === 0) {
    return undefined
  }
  return drawLine(line, stderr, stdout.isTTY === true ? [stderr, stdout] : [stderr])
}

/** Redraws the line ten times per second. It is removed before each write to one of `streams`. */
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

/** `[=====>     ] 41 %, 4100 done, 813/s, 64 in flight, 2 rejected, 3 failed, 7 s left` */
export function describeProgress({ what, done, rejected, failed, inFlight, elapsedMs, share }: ProgressState, columns: number): string {
  const parts = [...(what == null ? [] : [what]), `${done} done`, rate(done, elapsedMs)]
  if (inFlight != null) {
    parts.push(`${inFlight} in flight`)
  }
  if (rejected != null) {
    parts.push(`${rejected} rejected`)
  }
  if (failed != null) {
    parts.push(`${failed} failed`)
  }
  if (share != null && share > 0 && done > 0) {
    parts.push(`${humanTime((elapsedMs * (1 - share)) / share)} left`)
  }
  return withBar(share, parts.join(', '), columns)
}

/** `813/s`, `0.4/s` */
export function rate(count: number, ms: number): string {
  const perSecond = ms > 0 ? (count / ms) * 1_000 : 0
  return `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)}/s`
}

/** Figures behind a bar, as wide as their line has room. */
export function withBar(share: number | undefined, figures: string, columns: number): string {
  const width = Math.min(BAR_WIDTH, columns - 1 - figures.length - AROUND_BAR)
  // some terminals wrap a line of the full width
  return cut(share == null ? figures : `${bar(share, width)}${figures}`, columns - 1)
}

/** `[=====>     ] 41 %, `; without the bar if `width`, in characters, is too small. */
function bar(share: number, width: number): string {
  const percent = `${String(Math.floor(share * 100)).padStart(3)} %, `
  if (width < MIN_BAR_WIDTH) {
    return percent.trimStart()
  }
  const full = Math.floor(share * width)
  const drawn = `${'='.repeat(full)}${full < width ? '>' : ''}`
  return `[${drawn.padEnd(width)}] ${percent}`
}

/** Formats a time for people, below one second as `0 s`. */
export function humanTime(ms: number): string {
  return ms < 1_000 ? '0 s' : humanMs(ms)
}

/** Calls `clear` before each write. Returns a function that undoes this. */
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
