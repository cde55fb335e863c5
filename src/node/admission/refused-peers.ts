import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { raceSignal } from 'race-signal'
import type { Logger } from '../../observe/logger.ts'
import { type Backoff, backoffMs } from '../../primitives/backoff.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'

/** Who refuses: the peer does not let this node in, or the door of this node does not let the peer in. */
export type Refuser = 'them' | 'us'

/** The delay after a refusal, in milliseconds. Each further refusal doubles it, up to `maxMs`. */
export type RedialDelays = Backoff

export interface RefusedPeersInit {
  log: Logger
  /** True for a peer that the user named as a bootstrap: a refusal is a warning then. */
  isBootstrap?: (peer: string) => boolean
  /** @default 1 s, up to 10 minutes */
  delays?: RedialDelays | undefined
  now?: () => number
}

interface Refusal {
  /** Refusals in a row before the last one, each at a dial that was due; undefined where the delays begin anew. */
  before: number | undefined
  /** No dial before. */
  nextAtMs: number
  /** True where the log has a line about this refusal. */
  isTold: boolean
}

const DELAYS: RedialDelays = { firstMs: 1_000, maxMs: 600_000 }
/** A random part of each delay, at most this, is left out: peers then do not all dial at the same moment. */
const JITTER = 0.25
/** Refusals remembered for each side. The oldest goes first. */
const MAX_REMEMBERED = 4_096
/** Lines about refusals: of strangers there can be any number. */
const TOLD = { burst: 10, refillMs: 10_000 }

/**
 * Remembers the peers that refuse this node, and the peers that this node refuses. The node's own dials to such a peer wait for a growing
 * delay. The log has one line for each change, however many attempts there are.
 */
export class RefusedPeers extends EventTarget {
  readonly #init: RefusedPeersInit
  readonly #delays: RedialDelays
  readonly #now: () => number
  readonly #refusals: Record<Refuser, LRUCache<string, Refusal>> = {
    them: new LRUCache({ max: MAX_REMEMBERED }),
    us: new LRUCache({ max: MAX_REMEMBERED }),
  }
  readonly #tellings: TokenBuckets
  #untold = 0

  constructor(init: RefusedPeersInit) {
    super()
    // each bootstrap that is refused listens
    setMaxListeners(0, this)
    this.#init = init
    this.#delays = init.delays ?? DELAYS
    this.#now = init.now ?? Date.now
    this.#tellings = new TokenBuckets({ maxKeys: 2, now: this.#now })
  }

  /**
   * Notes a refusal. One that comes before the next dial is due belongs to the same attempt, or to an attempt of the peer, and changes nothing.
   * @param reason must name the peer where this node refuses it
   * @param maxDelayMs a shorter longest delay, for a refusal whose end no event tells
   */
  refused(peerId: PeerId, by: Refuser, reason: string, maxDelayMs = this.#delays.maxMs): void {
    const peer = peerId.toString()
    const known = this.#refusals[by].get(peer)
    const nowMs = this.#now()
    if (known == null || nowMs >= known.nextAtMs) {
      const before = known?.before == null ? 0 : known.before + 1
      const nextAtMs = nowMs + backoffMs(before, { firstMs: this.#delays.firstMs, maxMs: maxDelayMs }, JITTER)
      this.#refusals[by].set(peer, { before, nextAtMs, isTold: known?.isTold ?? this.#tell(peer, by, reason) })
    }
  }

  /** Ends a refusal: the peer answered identify, or the door lets the peer in. */
  admitted(peerId: PeerId, by: Refuser): void {
    const peer = peerId.toString()
    const known = this.#refusals[by].get(peer)
    if (known != null) {
      this.#refusals[by].delete(peer)
      this.#change()
      this.#init.log[known.isTold ? 'info' : 'debug'](
        by === 'them' ? `${peer} lets this node in now` : `${peer} is let in now`,
        undefined,
        { peer, by },
      )
    }
  }

  /** Ends the delays of these peers, or of all peers: the reason of the refusal may be gone. */
  retry(by: Refuser, peers?: readonly PeerId[]): void {
    const refusals = this.#refusals[by]
    for (const peer of peers?.map(String) ?? [...refusals.keys()]) {
      const known = refusals.peek(peer)
      if (known != null) {
        Object.assign(known, { before: undefined, nextAtMs: 0 })
      }
    }
    this.#change()
  }

  isRefused(peerId: PeerId, by: Refuser): boolean {
    return this.#refusals[by].has(peerId.toString())
  }

  /** True while any peer refuses this node. */
  get isTurnedAway(): boolean {
    return this.#refusals.them.size > 0
  }

  /** True where the node may dial the peer by itself. */
  mayDial(peerId: PeerId): boolean {
    return this.#leftMs(peerId) <= 0
  }

  /** Waits until `mayDial`. @throws the signal's reason */
  async untilDial(peerId: PeerId, signal: AbortSignal): Promise<void> {
    while (!this.mayDial(peerId)) {
      const over = new AbortController()
      const changed = new Promise((resolve) => this.addEventListener('change', resolve, { once: true, signal: over.signal }))
      const due = delay(Math.ceil(this.#leftMs(peerId)), undefined, { signal: over.signal }).catch(() => undefined)
      await raceSignal(Promise.race([changed, due]), signal).finally(() => over.abort())
    }
  }

  #leftMs(peerId: PeerId): number {
    const peer = peerId.toString()
    const times = [this.#refusals.them, this.#refusals.us].map((refusals) => refusals.peek(peer)?.nextAtMs ?? 0)
    return Math.max(...times) - this.#now()
  }

  #change(): void {
    this.dispatchEvent(new Event('change'))
  }

  /** False where there were too many lines: then they are counted. */
  #tell(peer: string, by: Refuser, reason: string): boolean {
    const { log, isBootstrap } = this.#init
    const isWanted = isBootstrap?.(peer) === true
    if (!isWanted && !this.#tellings.take(by, TOLD)) {
      this.#untold++
      log.debug(by === 'them' ? 'a peer does not let this node in' : 'a peer is turned away', reason, { peer, by })
      return false
    }
    const what =
      by === 'them' ? `${isWanted ? 'bootstrap ' : ''}${peer} does not let this node in` : `turned away${isWanted ? ', a bootstrap' : ''}`
    const more = this.#untold === 0 ? '' : ` (so were ${this.#untold} refusals before that had no line)`
    this.#untold = 0
    log[isWanted ? 'warn' : 'info'](`${what}: ${reason}${more}`, undefined, { peer, by })
    return true
  }
}
