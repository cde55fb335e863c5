import type { AbortOptions } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import { MAX_MESSAGE_BYTES } from './errors.ts'

/** What a remote can cost a node. Sizes in bytes, times in milliseconds. */
export interface ProtocolLimits {
  /** The largest frame sent or accepted, without its length prefix. */
  maxFrameBytes: number
  /** The same for a frame that is not held as a whole: one whose payload is used as it comes. */
  maxStreamedBytes: number
  /** All frames over 64 KiB of a node that are being received or handled, together; more wait. Smaller ones do not count. */
  maxBytesInFlight: number
  /** How long a peer may send or accept nothing in the middle of a frame. */
  stallTimeoutMs: number
  /** Below this average a frame is given up; the stall timeout comes on top. */
  minBytesPerSecond: number
  /**
   * A body whose size nobody knows may be silent, and slow, also where all of it is read before it is used: the side that answers waits for
   * `consumerTimeoutMs`, the caller until its deadline. A body that is used while it comes always may.
   */
  allowSlowBodies: boolean
  /** The share of that which the frames of one peer may take. */
  maxBytesInFlightPerPeer: number
  /** How long the caller of a streaming protocol may take nothing of what is sent to it. */
  consumerTimeoutMs: number
  /** Requests handled at a time by one protocol; more are refused by a reset. */
  maxConcurrentRequests: number
  /** The share of that which one peer may take, over all its connections. */
  maxRequestsPerPeer: number
  /** Calls of one protocol to one peer at a time; more wait for their turn. */
  maxCallsPerPeer: number
  /** Streams of one protocol that one connection may have open, each way. */
  maxStreamsPerConnection: number
}

/** What a node allows that was told nothing else. Only `maxFrameBytes` is a setting. */
export const DEFAULT_LIMITS = {
  maxFrameBytes: 64 * 1024 * 1024,
  maxStreamedBytes: MAX_MESSAGE_BYTES,
  maxBytesInFlight: 512 * 1024 * 1024,
  stallTimeoutMs: 10_000,
  minBytesPerSecond: 16 * 1024,
  allowSlowBodies: false,
  maxBytesInFlightPerPeer: 256 * 1024 * 1024,
  consumerTimeoutMs: 120_000,
  maxConcurrentRequests: 1_024,
  maxRequestsPerPeer: 256,
  maxCallsPerPeer: 128,
  maxStreamsPerConnection: 256,
} satisfies ProtocolLimits

/** The limit of a streamed frame beside that of a whole one: whoever allows less of that than the default means both. */
export function streamedLimit(maxFrameBytes: number): number {
  return maxFrameBytes < DEFAULT_LIMITS.maxFrameBytes ? maxFrameBytes : DEFAULT_LIMITS.maxStreamedBytes
}

/** What a protocol allows: its node's limits, and in place of them its own. */
export function limitsOf(node: ProtocolLimits, own: Partial<ProtocolLimits> = {}): ProtocolLimits {
  const { maxFrameBytes } = own
  return { ...node, ...(maxFrameBytes == null ? {} : { maxStreamedBytes: streamedLimit(maxFrameBytes) }), ...own }
}

/** Of a message that is used as it comes, not more than this is held at a time. */
export const STREAMED_WINDOW_BYTES = 1024 * 1024

/** Gives bytes back, once: all of them, or those beyond what is kept. */
export type Release = (keepBytes?: number) => void

/** A number of bytes that many frames share. Who asks for more than is left waits, first come, first served. */
export class ByteBudget {
  readonly #capacity: number
  #free: number
  readonly #waiting: Array<{ bytes: number; grant: () => void }> = []

  constructor(capacity: number) {
    this.#capacity = capacity
    this.#free = capacity
  }

  /** Bytes that nobody has now. */
  get free(): number {
    return this.#free
  }

  /** Waits for `bytes` (at most the whole budget is ever asked for); the function it gives returns them, once. */
  async acquire(bytes: number, options: AbortOptions = {}): Promise<Release> {
    options.signal?.throwIfAborted()
    const wanted = Math.min(bytes, this.#capacity)
    const given = this.take(wanted)
    if (given != null) {
      return given
    }
    await this.#wait(wanted, options)
    return this.#releaseOf(wanted)
  }

  /** The same without waiting; undefined where it had to. */
  take(bytes: number): Release | undefined {
    if (this.#waiting.length > 0 || bytes > this.#free) {
      return undefined
    }
    this.#free -= bytes
    return this.#releaseOf(bytes)
  }

  #releaseOf(bytes: number): Release {
    let held = bytes
    return (keepBytes = 0) => {
      if (held > keepBytes) {
        this.#free += held - keepBytes
        held = keepBytes
        this.#serve()
      }
    }
  }

  async #wait(bytes: number, options: AbortOptions): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const entry = { bytes, grant: resolve }
    this.#waiting.push(entry)
    try {
      await raceSignal(promise, options.signal)
    } catch (error) {
      const index = this.#waiting.indexOf(entry)
      if (index >= 0) {
        this.#waiting.splice(index, 1)
      } else {
        // granted and aborted in the same turn
        this.#free += bytes
      }
      this.#serve()
      throw error
    }
  }

  #serve(): void {
    for (let next = this.#waiting[0]; next != null && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#free -= next.bytes
      next.grant()
    }
  }
}

/** What one peer has of a protocol's limits at this moment, over all its connections. */
export class PeerShare {
  requests = 0
  readonly calls: ByteBudget
  readonly #bytes: ByteBudget
  readonly #all: ByteBudget

  constructor(limits: ProtocolLimits, all: ByteBudget) {
    this.calls = new ByteBudget(limits.maxCallsPerPeer)
    this.#bytes = new ByteBudget(Math.max(limits.maxBytesInFlightPerPeer, limits.maxFrameBytes))
    this.#all = all
  }

  /** Bytes of the peer's own share and of the node's budget. */
  async acquire(bytes: number, options: AbortOptions = {}): Promise<Release> {
    const own = await this.#bytes.acquire(bytes, options)
    try {
      const all = await this.#all.acquire(bytes, options)
      return (keepBytes) => {
        all(keepBytes)
        own(keepBytes)
      }
    } catch (error) {
      own()
      throw error
    }
  }
}

/** The shares of the peers that have something to do with one half of a protocol at this moment. */
export class PeerShares {
  readonly #node: { limits: ProtocolLimits; budget: ByteBudget }
  readonly #shares = new Map<string, { share: PeerShare; users: number }>()

  constructor(node: { limits: ProtocolLimits; budget: ByteBudget }) {
    this.#node = node
  }

  /** The share of a peer, kept while somebody uses it. */
  enter(peer: string): { share: PeerShare; leave: () => void } {
    const entry = this.#shares.get(peer) ?? { share: new PeerShare(this.#node.limits, this.#node.budget), users: 0 }
    entry.users++
    this.#shares.set(peer, entry)
    const leave = (): void => {
      if (--entry.users === 0) {
        this.#shares.delete(peer)
      }
    }
    return { share: entry.share, leave }
  }
}
