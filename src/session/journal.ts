import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { isOfType } from './event-types.ts'
import type { EventsOptions, NodeEvent } from './session.ts'

const MAX_KEPT = 10_000
/** The maximum size of all texts in the ring: about 8 MiB. */
const MAX_KEPT_CHARACTERS = 8 << 20
/** The maximum size of one text. A peer may have written the text. */
const MAX_TEXT_CHARACTERS = 1_024
/** The assumed size of an event without its texts. */
const EVENT_CHARACTERS = 100
/** A reader receives events at most ten times a second. */
const TOGETHER_MS = 100
/** The maximum number of events in one batch. */
const MAX_TOGETHER = 500

/**
 * A ring of a node's last 10,000 events; long texts reduce the number. A reader has a position in the ring and no queue, so a slow reader
 * costs nothing. If the ring overtakes a reader, the reader receives an event `missed` with the count. Events are formatted only for a
 * reader.
 */
export class Journal {
  readonly #listeners = new EventEmitter<{ event: [NodeEvent] }>().setMaxListeners(0)
  readonly #kept = new Array<NodeEvent | undefined>(MAX_KEPT).fill(undefined)
  readonly #sizes = new Uint32Array(MAX_KEPT)
  /** The sequence numbers of the oldest kept event and of the next event, starting at 0. */
  #first = 0
  #next = 0
  #characters = 0
  #news: PromiseWithResolvers<void> | undefined
  #heard = false

  /** Records an event with this name. @param about the event's fields */
  tell(event: string, about: object): void {
    const entry: NodeEvent = { event, atMs: Date.now(), ...about }
    const place = this.#next % MAX_KEPT
    if (this.#next - this.#first === MAX_KEPT) {
      this.#drop()
    }
    this.#kept[place] = entry
    this.#sizes[place] = bound(entry)
    this.#characters += this.#sizes[place] as number
    this.#next++
    while (this.#characters > MAX_KEPT_CHARACTERS) {
      this.#drop()
    }
    this.#listeners.emit('event', entry)
    this.#news?.resolve()
    this.#news = undefined
  }

  /** Adds a listener. The first listener also receives the earlier events. */
  on(listener: (event: NodeEvent) => void): void {
    const unheard = this.#heard ? [] : this.#read(this.#first, this.#next)
    this.#heard = true
    unheard.forEach(listener)
    this.#listeners.on('event', listener)
  }

  off(listener: (event: NodeEvent) => void): void {
    this.#listeners.off('event', listener)
  }

  /**
   * Yields events as they occur, after the kept events of the last `sinceMs`. After an abort, the reader receives the remaining events, and
   * the stream ends.
   */
  follow({ types = [], sinceMs, signal }: EventsOptions): AsyncGenerator<NodeEvent[]> {
    // the position is fixed now, not at the first read
    return this.#follow(sinceMs == null ? this.#next : this.#firstSince(Date.now() - sinceMs), new Set(types), signal)
  }

  async *#follow(first: number, wanted: ReadonlySet<string>, signal: AbortSignal | undefined): AsyncGenerator<NodeEvent[]> {
    let at = first
    for (;;) {
      const missed = this.#first - at
      const from = Math.max(at, this.#first)
      at = Math.min(this.#next, from + MAX_TOGETHER)
      const batch = this.#read(from, at).filter((event) => isOfType(event, wanted))
      if (missed > 0) {
        batch.unshift({ event: 'missed', atMs: Date.now(), count: missed })
      }
      if (batch.length > 0) {
        yield batch
      }
      if (at === this.#next) {
        if (signal?.aborted === true) {
          return
        }
        await this.#more(signal)
      }
    }
  }

  /** Waits for an event. After an earlier event, also waits for further events within the same 100 ms. */
  async #more(signal: AbortSignal | undefined): Promise<void> {
    const waitsSinceMs = performance.now()
    this.#news ??= Promise.withResolvers()
    const news = this.#news
    const wake = (): void => news.resolve()
    signal?.addEventListener('abort', wake, { once: true })
    await news.promise
    signal?.removeEventListener('abort', wake)
    const restMs = waitsSinceMs + TOGETHER_MS - performance.now()
    if (restMs > 0) {
      await delay(restMs, undefined, signal == null ? {} : { signal }).catch(() => undefined)
    }
  }

  #drop(): void {
    const place = this.#first % MAX_KEPT
    this.#characters -= this.#sizes[place] as number
    this.#kept[place] = undefined
    this.#first++
  }

  #read(from: number, to: number): NodeEvent[] {
    return Array.from({ length: to - from }, (_, index) => this.#kept[(from + index) % MAX_KEPT] as NodeEvent)
  }

  #firstSince(atMs: number): number {
    let number = this.#next
    while (number > this.#first && (this.#kept[(number - 1) % MAX_KEPT] as NodeEvent).atMs >= atMs) {
      number--
    }
    return number
  }
}

/** Truncates the texts of an event. Returns the event's size in characters. */
function bound(event: NodeEvent): number {
  let characters = EVENT_CHARACTERS
  for (const name in event) {
    const value = event[name]
    if (typeof value === 'string') {
      if (value.length > MAX_TEXT_CHARACTERS) {
        event[name] = `${value.slice(0, MAX_TEXT_CHARACTERS)}…`
      }
      characters += Math.min(value.length, MAX_TEXT_CHARACTERS)
    } else if (typeof value === 'object' && value != null) {
      characters += sizeOf(value)
    }
  }
  return characters
}

/** The size of a list. Its creator bounds it. */
function sizeOf(value: object): number {
  return Object.values(value).reduce<number>(
    (sum, each) => sum + (typeof each === 'string' ? each.length : typeof each === 'object' && each != null ? sizeOf(each) : 8),
    0,
  )
}
