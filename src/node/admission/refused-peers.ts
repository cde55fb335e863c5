import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { raceSignal } from 'race-signal'
import type { Logger } from '../../observe/logger.ts'
import { type Backoff, backoffMs } from '../../primitives/backoff.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'

/** Which side refuses: `them` if the peer refuses this node, `us` if this node's door refuses the peer. */
export type Refuser = 'them' | 'us'

/** Delay after a refusal, in milliseconds. Each further refusal doubles it, up to `maxMs`. */
export type RedialDelays = Backoff

export interface RefusedPeersInit {
  log: Logger
  /** True for a bootstrap named by the user. Its refusal is logged as a warning. */
  isBootstrap?: (peer: string) => boolean
  /** @default 1 s, up to 10 minutes */
  delays?: RedialDelays | undefined
  now?: () => number
}

interface Refusal {
  /** Number of earlier consecutive refusals, each on a dial that was due. Undefined if the delays start over. */
  before: number | undefined
  /** Earliest time of the next dial. */
  nextAtMs: number
  /** True if this refusal was logged. */
  isTold: boolean
}

const DELAYS: RedialDelays = { firstMs: 1_000, maxMs: 600_000 }
/** Maximum random reduction of a delay, so that peers do not all dial at the same moment. */
const JITTER = 0.25
/** Maximum remembered refusals per side. The oldest is dropped first. */
const MAX_REMEMBERED = 4_096
/** Rate limit of log lines, because strangers can cause any number of refusals. */
const TOLD = { burst: 10, refillMs: 10_000 }

/**
 * Remembers peers that refuse this node and peers that this node refuses. The node's own dials to such a peer wait for a growing delay.
 * Each change is logged once, regardless of the number of attempts.
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
    // each refused bootstrap adds a listener
    setMaxListeners(0, this)
    this.#init = init
    this.#delays = init.delays ?? DELAYS
    this.#now = init.now ?? Date.now
    this.#tellings = new TokenBuckets({ maxKeys: 2, now: this.#now })
  }

  /**
   * Records a refusal. A refusal before the next dial is due belongs to the same attempt, or to an attempt of the peer, and changes
   * nothing.
   * @param reason must name the peer if this node refuses it
   * @param maxDelayMs a shorter maximum delay, for a refusal whose end is not signalled
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

  /** Ends a refusal, after the peer answered identify or the door admitted the peer. */
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

  /** Ends the delays of these peers, or of all peers, because the reason of the refusal may be gone. */
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

  /** True if the node may dial the peer on its own initiative. */
  mayDial(peerId: PeerId): boolean {
    return this.#leftMs(peerId) <= 0
  }

  /** Waits until `mayDial` is true. @throws the signal's reason */
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

  /** Logs a refusal. False if the rate limit was reached, and the refusal was only counted. */
  #tell(peer: string, by: Refuser, reason: string): boolean {
    const { log, isBootstrap } = this.#init
    const isWanted = isBootstrap?.(peer) === true
    if (!isWanted && !this.#tellings.take(by, TOLD)) {
      this.#untold++
      log.debug(by === 'them' ? 'a peer does not let this node in' : 'a peer is turned away', reason, { peer, by })
      return false
    }
    const what =
      by === 'them' ? `${isWanted ? 'bootstrap ' : ''}${peer} does not let this node in` : `${isWanted ? 'bootstrap ' : ''}turned away`
    const more = this.#untold === 0 ? '' : ` (${this.#untold} earlier refusals were not logged)`
    this.#untold = 0
    log[isWanted ? 'warn' : 'info'](`${what}: ${reason}${more}`, undefined, { peer, by })
    return true
  }
}
