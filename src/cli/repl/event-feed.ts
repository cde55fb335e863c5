import { humanMs } from '../../primitives/human-ms.ts'
import type { NodeEvent } from '../../session/session.ts'
import { clockOf } from '../text/clock.ts'
import { shortPeerId } from '../text/render.ts'
import { describeEvent, oneLine } from './events.ts'

export interface EventFeedInit {
  /** Shows a line; `now` is true for an urgent line. */
  tell(line: string, options: { now: boolean }): void
  /** True while events are muted. */
  isMuted(): boolean
  /** Formats the peer of an event. @default the short ID */
  labelOf?: (peerId: string) => string
  /** A clock in Unix milliseconds. @default the system clock */
  now?: () => number
  /** Schedules a call after some milliseconds, without keeping the process alive. @default a Node timer */
  later?: (call: () => void, ms: number) => void
}

type LabelOf = (peerId: string) => string

/** Maximum events of one kind that are shown singly in a window. */
const SHOWN_PER_WINDOW = 5
const WINDOW_MS = 6_000
/** At this number, held events are summed up before their window ends. */
const MAX_HELD = 10_000
/** The kinds of events that are summed up, with the text of the sum. Other kinds are always shown singly. */
const SUMS: Record<string, (events: NodeEvent[], time: string, labelOf: LabelOf) => string> = {
  task: sumOfTasks,
  'peer:connect': (events, time, labelOf) => sumOfPeers(events, 'connected', time, labelOf),
  'peer:disconnect': (events, time, labelOf) => sumOfPeers(events, 'disconnected', time, labelOf),
}

interface Window {
  startedAtMs: number
  shown: number
  /** Events that were not shown singly. */
  held: NodeEvent[]
}

/** Shows the events of a node above the prompt, each with its time. Fast events of one kind are summed up. */
export class EventFeed {
  readonly #init: Required<EventFeedInit>
  readonly #windows = new Map<string, Window>()

  constructor(init: EventFeedInit) {
    this.#init = { now: () => Date.now(), later: (call, ms) => void setTimeout(call, ms).unref(), labelOf: shortPeerId, ...init }
  }

  take(event: NodeEvent): void {
    if (this.#init.isMuted()) {
      return
    }
    if (SUMS[event.event] == null) {
      this.#sumUpAll()
      this.#show(event.atMs, describeEvent(event, this.#init.labelOf), event.event === 'stopping')
      return
    }
    const window = this.#windows.get(event.event) ?? this.#open(event.event, 0)
    if (window.shown < SHOWN_PER_WINDOW) {
      window.shown++
      this.#show(event.atMs, describeEvent(event, this.#init.labelOf))
    } else if (window.held.push(event) === MAX_HELD) {
      this.#sumUp(event.event, window)
    }
  }

  #open(kind: string, shown: number): Window {
    const window: Window = { startedAtMs: this.#init.now(), shown, held: [] }
    this.#windows.set(kind, window)
    this.#init.later(() => this.#close(kind, window), WINDOW_MS)
    return window
  }

  /** After a fast window, the next window shows no events singly. */
  #close(kind: string, window: Window): void {
    const isFast = window.held.length > SHOWN_PER_WINDOW
    this.#windows.delete(kind)
    this.#sumUp(kind, window)
    if (isFast) {
      this.#open(kind, SHOWN_PER_WINDOW)
    }
  }

  /** Shows the held events before any later event. */
  #sumUpAll(): void {
    for (const [kind, window] of this.#windows) {
      this.#sumUp(kind, window)
    }
  }

  #sumUp(kind: string, window: Window): void {
    const now = this.#init.now()
    const [held, ms] = [window.held, now - window.startedAtMs]
    Object.assign(window, { held: [], startedAtMs: now })
    if (held.length > 0 && !this.#init.isMuted()) {
      this.#show(now, SUMS[kind]?.(held, humanMs(ms), this.#init.labelOf) ?? '')
    }
  }

  #show(atMs: number, text: string, now = false): void {
    this.#init.tell(`${clockOf(atMs)} ${text}`, { now })
  }
}

/** `312 tasks of 12D3KooW…abcdef in 6 s, all accepted` */
function sumOfTasks(tasks: NodeEvent[], time: string, labelOf: LabelOf): string {
  const rejected = tasks.filter(({ accepted }) => accepted !== true)
  const last = rejected.at(-1)
  const why = last?.reason == null ? '' : `, the last one: ${last.reason}, ${oneLine(last.detail)}`
  const outcome = rejected.length === 0 ? 'all accepted' : `${tasks.length - rejected.length} accepted, ${rejected.length} rejected${why}`
  return `${tasks.length} ${tasks.length === 1 ? 'task' : 'tasks'} of ${whose(tasks, labelOf)} in ${time}, ${outcome}`
}

/** `40 peers connected in 6 s`, `12D3KooW…abcdef connected 40 times in 6 s` */
function sumOfPeers(events: NodeEvent[], what: string, time: string, labelOf: LabelOf): string {
  const peers = peersOf(events).size
  return peers === 1 && events.length > 1
    ? `peer ${whose(events, labelOf)} ${what} ${events.length} times in ${time}`
    : `${peers} ${peers === 1 ? 'peer' : 'peers'} ${what} in ${time}`
}

function whose(events: NodeEvent[], labelOf: LabelOf): string {
  const [first = '', ...more] = peersOf(events)
  return more.length === 0 ? labelOf(first) : `${more.length + 1} peers`
}

function peersOf(events: NodeEvent[]): Set<string> {
  return new Set(events.map(({ peerId }) => String(peerId)))
}
