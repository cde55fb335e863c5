import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { TokenBuckets } from '../primitives/token-bucket.ts'

interface Count {
  count: number
  atMs: number
}

/** Invalid messages of other authors that a peer may forward before it is blamed. Each message costs this node one signature check. */
const PASSED_ON = { burst: 32, refillMs: 1_000 }
const MAX_PEERS = 4_096
/** As gossipsub's own counters: minus a tenth per second, and 0 below a tenth. */
const KEPT_PER_SECOND = 0.9
const FORGOTTEN_BELOW = 0.1
/** A count of 10 decays to 0 within 44 s. */
const MAX_COUNT = 10

/**
 * Decides which peer to blame for messages that no honest peer publishes. An honest peer may forward them, because it may not know
 * heartbeats. The author, whose signature gossipsub has checked, is therefore blamed first. A peer that forwards too many such messages of
 * others is blamed itself. At most 4,096 peers are remembered; the peer blamed longest ago is forgotten first.
 */
export class Blame {
  readonly #counts = new LRUCache<string, Count>({ max: MAX_PEERS })
  readonly #passedOn: TokenBuckets
  readonly #now: () => number

  constructor(now: () => number = Date.now) {
    this.#now = now
    this.#passedOn = new TokenBuckets({ maxKeys: MAX_PEERS, now })
  }

  /** Blames one peer for one message. @param author the signer @param sender the peer that sent the message to this node */
  garbage(author: PeerId, sender: PeerId): void {
    const from = sender.toString()
    const blamed = author.equals(sender) || !this.#passedOn.take(from, PASSED_ON) ? from : author.toString()
    this.#counts.set(blamed, { count: Math.min(this.#countOf(blamed) + 1, MAX_COUNT), atMs: this.#now() })
  }

  /** For gossipsub: 0 for a peer without blame, down to -100. */
  scoreOf(peerId: string): number {
    return 0 - this.#countOf(peerId) ** 2
  }

  #countOf(peerId: string): number {
    const known = this.#counts.peek(peerId)
    if (known == null) {
      return 0
    }
    const count = known.count * KEPT_PER_SECOND ** (Math.max(0, this.#now() - known.atMs) / 1_000)
    return count < FORGOTTEN_BELOW ? 0 : count
  }
}
