import { LRUCache } from 'lru-cache'
import type { Logger } from '../observe/logger.ts'
import { humanMs } from '../primitives/human-ms.ts'

/** An offset above this is a problem, in milliseconds. Peers accept 60 s. */
const MAX_OFFSET_MS = 30_000
/** The least number of peers. With fewer, one peer could raise the warning alone. */
const MIN_PEERS = 3
/** The same bound for a clock that is the only one. */
const MAX_OFFSET_ALONE_MS = 60_000
const MAX_PEERS = 1_000
const INTERVALS = 3
/** The shortest lifetime of a measurement, in milliseconds. */
const MIN_LIFETIME_MS = 600_000

interface Word {
  sentAtMs: number
  heardAtMs: number
  lifetimeMs: number
}

/** A clock that belongs to no peer, such as the chain's. */
export interface OtherClock {
  /** The source of the clock, such as "the blocks of chain ws://…". */
  name: string
  /** How far this node's clock is ahead, in milliseconds; negative if it is behind. */
  offsetMs: number
}

export interface PeerClocksInit {
  log: Logger
  now: () => number
  /** Undefined if there is no such clock, or if it is not heard. */
  other?: (() => OtherClock | undefined) | undefined
}

/**
 * Compares this node's clock with the clocks of its peers: the median of the send times in their last heartbeats. Another clock counts as
 * one more peer. With fewer than 3 peers it decides alone.
 */
export class PeerClocks {
  readonly #init: PeerClocksInit
  readonly #words = new LRUCache<string, Word>({ max: MAX_PEERS })
  #told = false

  constructor(init: PeerClocksInit) {
    this.#init = init
  }

  /** Records the send time of a signed beat, accepted or not. A beat that is no newer than the last one is a replay. */
  note(author: string, sentAtMs: number, intervalMs: number): void {
    const heardAtMs = this.#init.now()
    const last = this.#words.get(author)
    if (last != null && sentAtMs <= last.sentAtMs && this.#counts(last)) {
      return
    }
    this.#words.set(author, { sentAtMs, heardAtMs, lifetimeMs: Math.max(MIN_LIFETIME_MS, INTERVALS * intervalMs) })
    this.judge()
  }

  /** The problem of this node's clock, with its offset. Undefined if the clock is right, or if too few clocks are heard. */
  get problem(): string | undefined {
    const other = this.#init.other?.()
    const peers = [...this.#words.values()].filter((word) => this.#counts(word)).map(({ heardAtMs, sentAtMs }) => heardAtMs - sentAtMs)
    if (peers.length < MIN_PEERS) {
      return other == null || Math.abs(other.offsetMs) <= MAX_OFFSET_ALONE_MS ? undefined : described(other.offsetMs, other.name)
    }
    const offsetMs = medianOf(other == null ? peers : [...peers, other.offsetMs])
    if (Math.abs(offsetMs) <= MAX_OFFSET_MS) {
      return undefined
    }
    const agrees = other != null && Math.abs(other.offsetMs) > MAX_OFFSET_MS && Math.sign(other.offsetMs) === Math.sign(offsetMs)
    return described(offsetMs, `those of ${peers.length} peers${agrees ? ` and ${other.name}` : ''} (their median)`)
  }

  /** Logs a new problem. */
  judge(): void {
    const { problem } = this
    if (problem != null && !this.#told) {
      this.#init.log.warn(problem)
    }
    this.#told = problem != null
  }

  #counts({ heardAtMs, lifetimeMs }: Word): boolean {
    return Math.abs(this.#init.now() - heardAtMs) <= lifetimeMs
  }
}

/** An even number of offsets has two medians. The smaller one counts, since half of the clocks are no majority. */
function medianOf(offsets: number[]): number {
  const sorted = offsets.toSorted((a, b) => a - b)
  const [low = 0, high = 0] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return Math.abs(low) < Math.abs(high) ? low : high
}

/** @param whose the clocks that disagree with this node's */
function described(offsetMs: number, whose: string): string {
  return (
    `the clock of this machine is ${humanMs(Math.abs(offsetMs))} ${offsetMs > 0 ? 'ahead of' : 'behind'} ${whose}: ` +
    "nodes whose clocks differ by more than 60 s ignore each other's heartbeats"
  )
}
