import { LRUCache } from 'lru-cache'
import { humanMs } from '../primitives/human-ms.ts'
import type { Logger } from '../primitives/log.ts'

/** An offset above this is a problem, in milliseconds. Peers accept 60 s. */
const MAX_OFFSET_MS = 30_000
/** The least number of peers. With fewer, one peer could raise the warning alone. */
const MIN_PEERS = 3
const MAX_PEERS = 1_000
const INTERVALS = 3
/** The shortest lifetime of a measurement, in milliseconds. */
const MIN_LIFETIME_MS = 600_000

interface Word {
  sentAtMs: number
  heardAtMs: number
  lifetimeMs: number
}

/** Compares this node's clock with the clocks of its peers: the median of the send times in their last heartbeats. */
export class PeerClocks {
  readonly #init: { log: Logger; now: () => number }
  readonly #words = new LRUCache<string, Word>({ max: MAX_PEERS })
  #told = false

  constructor(init: { log: Logger; now: () => number }) {
    this.#init = init
  }

  /** Takes the send time of a signed beat, whether the beat is accepted or not. A beat that is no newer than the last one is a replay. */
  note(author: string, sentAtMs: number, intervalMs: number): void {
    const heardAtMs = this.#init.now()
    const last = this.#words.get(author)
    if (last != null && sentAtMs <= last.sentAtMs && this.#counts(last)) {
      return
    }
    this.#words.set(author, { sentAtMs, heardAtMs, lifetimeMs: Math.max(MIN_LIFETIME_MS, INTERVALS * intervalMs) })
    this.#tell()
  }

  /** The problem of this node's clock, with its offset. Undefined where the clock is right, or fewer than 3 peers are heard. */
  get problem(): string | undefined {
    const offsets = [...this.#words.values()]
      .filter((word) => this.#counts(word))
      .map(({ heardAtMs, sentAtMs }) => heardAtMs - sentAtMs)
      .sort((a, b) => a - b)
    // an even number has two middles: the smaller offset counts, as half of the peers is no majority
    const [low = 0, high = 0] = [offsets[(offsets.length - 1) >> 1], offsets[offsets.length >> 1]]
    const offsetMs = Math.abs(low) < Math.abs(high) ? low : high
    if (offsets.length < MIN_PEERS || Math.abs(offsetMs) <= MAX_OFFSET_MS) {
      return undefined
    }
    const direction = offsetMs > 0 ? 'ahead of' : 'behind'
    return (
      `the clock of this machine is ${humanMs(Math.abs(offsetMs))} ${direction} those of ${offsets.length} peers (their median): ` +
      'nodes whose clocks differ by more than 60 s ignore what the other says of itself'
    )
  }

  #counts({ heardAtMs, lifetimeMs }: Word): boolean {
    return Math.abs(this.#init.now() - heardAtMs) <= lifetimeMs
  }

  #tell(): void {
    const { problem } = this
    if (problem != null && !this.#told) {
      this.#init.log.warn(problem)
    }
    this.#told = problem != null
  }
}
