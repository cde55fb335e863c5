import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { isOfType } from './event-types.ts'
import type { EventsOptions, NodeEvent } from './session.ts'

const MAX_KEPT = 10_000
/** Of all texts in the ring: about 8 MiB. */
const MAX_KEPT_CHARACTERS = 8 << 20
/** Of one text. A peer may have written it. */
const MAX_TEXT_CHARACTERS = 1_024
/** Of one event beside its texts. */
const EVENT_CHARACTERS = 100
/** A reader gets events ten times a second at most. */
const TOGETHER_MS = 100
/** Told at once. */
const MAX_TOGETHER = 500

/**
 * A ring of the last 10,000 events of a node; of long texts it keeps fewer. A reader has a place in the ring and no queue, so a slow reader costs
 * nothing. The ring may overtake a reader: then the reader gets an event `missed` with their number. Events become text only for a reader.
 */
export class Journal {
  readonly #listeners = new EventEmitter<{ event: [NodeEvent] }>().setMaxListeners(0)
  readonly #kept = new Array<NodeEvent | undefined>(MAX_KEPT).fill(undefined)
  readonly #sizes = new Uint32Array(MAX_KEPT)
  /** The number of the oldest event that is kept, and of the next one; the first of all has 0. */
  #first = 0
  #next = 0
  #characters = 0
  #news: PromiseWithResolvers<void> | undefined
  #heard = false

  /** Enters an event of this name. @param about its fields */
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

  /** The first listener also hears what was told before. */
  on(listener: (event: NodeEvent) => void): void {
    const unheard = this.#heard ? [] : this.#read(this.#first, this.#next)
    this.#heard = true
    unheard.forEach(listener)
    this.#listeners.on('event', listener)
  }

  off(listener: (event: NodeEvent) => void): void {
    this.#listeners.off('event', listener)
  }

  /** Events as they are told; first the kept ones of the last `sinceMs`. When the signal aborts, the reader gets the rest, and the end. */
  follow({ types = [], sinceMs, signal }: EventsOptions): AsyncGenerator<NodeEvent[]> {
    // from now on, not from when the first is asked for
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

  /** Waits for an event. Behind an earlier one, it also waits for what comes in the same tenth of a second. */
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

/** Cuts the texts of an event. Gives its size in characters. */
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

/** The size of a list. Its maker bounds it. */
function sizeOf(value: object): number {
  return Object.values(value).reduce<number>(
    (sum, each) => sum + (typeof each === 'string' ? each.length : typeof each === 'object' && each != null ? sizeOf(each) : 8),
    0,
  )
}
