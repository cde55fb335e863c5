import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { isOfType } from './event-types.ts'
import type { EventsOptions, NodeEvent } from './session.ts'

const MAX_KEPT = 10_000
/** Of the texts of all that are kept, about as many bytes. */
const MAX_KEPT_CHARACTERS = 8 << 20
/** Of one text, which a peer may have had a say in. */
const MAX_TEXT_CHARACTERS = 1_024
/** Of one event beside its texts. */
const EVENT_CHARACTERS = 100
/** Events that come soon after others are told together: at most ten times a second. */
const TOGETHER_MS = 100
/** Told at once. */
const MAX_TOGETHER = 500

/**
 * What a node told last: 10,000 events, or fewer of long texts. Whoever follows reads from here, each at its own pace and without a queue of its own:
 * one that is too slow is told how many events are gone. Nothing is made a text before somebody asks.
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

  /** @param about what happened, without what says when */
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

  /** Events as they are told, first those of the last `sinceMs` that are kept. At the end of the signal, what is left, and no more. */
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

  /** Waits for an event, and a moment, so that those that come soon after it are told with it. */
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

/** Cuts the texts of an event. Gives about how much it takes. */
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

/** Of lists: their makers bound them. */
function sizeOf(value: object): number {
  return Object.values(value).reduce<number>(
    (sum, each) => sum + (typeof each === 'string' ? each.length : typeof each === 'object' && each != null ? sizeOf(each) : 8),
    0,
  )
}
