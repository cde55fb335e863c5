import type { AbortOptions } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import { MAX_MESSAGE_BYTES } from './errors.ts'

/** Limits on a remote peer's use of a node. Sizes in bytes, times in milliseconds. */
export interface ProtocolLimits {
  /** Maximum size of a frame, sent or received, without its length prefix. */
  maxFrameBytes: number
  /** Maximum size of a frame whose payload is streamed and not held in memory as a whole. */
  maxStreamedBytes: number
  /**
   * Maximum total size of a node's frames over 64 KiB that are being received or handled. Further ones wait. Smaller frames do not count.
   */
  maxBytesInFlight: number
  /** Maximum pause of a peer within a frame, sending or receiving. */
  stallTimeoutMs: number
  /** Minimum average rate of a frame, allowing for the stall timeout. A slower frame is aborted. */
  minBytesPerSecond: number
  /**
   * Allows pauses and low rates in a body of unknown size, even if it is read completely before use. The serving side then waits for
   * `consumerTimeoutMs`, the caller until its deadline. A streamed body of unknown size may always be slow.
   */
  allowSlowBodies: boolean
  /** Maximum part of `maxBytesInFlight` for the frames of one peer. */
  maxBytesInFlightPerPeer: number
  /** Maximum pause of a caller that consumes the responses of a streaming protocol. */
  consumerTimeoutMs: number
  /** Maximum concurrent requests per protocol. Further ones are refused with a reset. */
  maxConcurrentRequests: number
  /** Maximum part of `maxConcurrentRequests` for one peer, over all its connections. */
  maxRequestsPerPeer: number
  /** Maximum concurrent calls per protocol to one peer. Further ones wait. */
  maxCallsPerPeer: number
  /** Maximum open streams per protocol on one connection, in each direction. */
  maxStreamsPerConnection: number
}

/** Default limits of a node. Only `maxFrameBytes` is a setting. */
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

/** The limit of streamed frames that follows from `maxFrameBytes`. A `maxFrameBytes` below the default applies to both. */
export function streamedLimit(maxFrameBytes: number): number {
  return maxFrameBytes < DEFAULT_LIMITS.maxFrameBytes ? maxFrameBytes : DEFAULT_LIMITS.maxStreamedBytes
}

/** The limits of a protocol: those of its node, overridden by its own. */
export function limitsOf(node: ProtocolLimits, own: Partial<ProtocolLimits> = {}): ProtocolLimits {
  const { maxFrameBytes } = own
  return { ...node, ...(maxFrameBytes == null ? {} : { maxStreamedBytes: streamedLimit(maxFrameBytes) }), ...own }
}

/** Maximum buffered bytes of a streamed message. */
export const STREAMED_WINDOW_BYTES = 1024 * 1024

/** Releases a reservation once: completely, or down to `keepBytes`. */
export type Release = (keepBytes?: number) => void

/** A byte budget shared by many frames. A request that exceeds the free bytes waits, in order of arrival. */
export class ByteBudget {
  readonly #capacity: number
  #free: number
  readonly #waiting: Array<{ bytes: number; grant: () => void }> = []

  constructor(capacity: number) {
    this.#capacity = capacity
    this.#free = capacity
  }

  /** Free bytes. */
  get free(): number {
    return this.#free
  }

  /** Waits for `bytes`, capped at the whole budget. The returned function releases them, once. */
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

  /** Takes `bytes` without waiting. Undefined if it would have to wait. */
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

/** One peer's current usage of a protocol's limits, over all its connections. */
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

  /** Reserves bytes of both the peer's share and the node's budget. */
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

/** The shares of all peers that currently use one half of a protocol. */
export class PeerShares {
  readonly #node: { limits: ProtocolLimits; budget: ByteBudget }
  readonly #shares = new Map<string, { share: PeerShare; users: number }>()

  constructor(node: { limits: ProtocolLimits; budget: ByteBudget }) {
    this.#node = node
  }

  /** The share of a peer, kept while it is in use. */
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
