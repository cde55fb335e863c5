import type { PeerId } from '@libp2p/interface'
import { Queue } from '@libp2p/utils'
import { LRUCache } from 'lru-cache'
import { raceSignal } from 'race-signal'
import type { ChainRegistry, NodeClass } from '../chain/registry.ts'
import { describeError } from '../primitives/errors.ts'
import type { Logger } from '../primitives/log.ts'
import { TokenBuckets } from '../primitives/token-bucket.ts'

export interface DoorInit {
  registry: Pick<ChainRegistry, 'isRegistered'>
  subnetId: number
  /** The least class that is let in. */
  minClass: NodeClass
  /** What becomes of a peer that the chain says nothing of, because it is away. */
  onError: 'deny' | 'allow'
  /** Peer IDs that are let in unasked. */
  exempt: Iterable<string>
  log: Logger
  now?: () => number
}

/** Whether a peer is let in; if not, why. */
export type Verdict = { admitted: true } | { admitted: false; reason: string }

interface Entry {
  verdict: Verdict
  /** When the chain is to be asked again. */
  expiresAtMs: number
  /** When the chain last said yes. */
  registeredAtMs?: number | undefined
}

const POSITIVE_TTL_MS = 300_000
const NEGATIVE_TTL_MS = 30_000
/** Nothing is known: the chain is asked again soon. */
const ERROR_TTL_MS = 5_000
/** While the chain is away, a yes is good for this long. */
const LAST_YES_MS = 3_600_000
const CHECK_TIMEOUT_MS = 5_000
/** Then the chain's last answer is taken. */
const CHAIN_PATIENCE_MS = 3_500
const MAX_REMEMBERED = 10_000
/** Questions to the chain: a burst, then 20 a second. Members and strangers have their own, so that no flood keeps a member out. */
const RATE = { burst: 64, refillMs: 50 }
const LANE = { concurrency: 4, maxSize: 64 }

/** Who may come in: those that the chain says are registered. What was not asked yet, or cannot be known, is not let in. */
export class Door {
  readonly #init: DoorInit
  readonly #now: () => number
  readonly #exempt: Set<string>
  readonly #members = new LRUCache<string, Entry>({ max: MAX_REMEMBERED })
  readonly #strangers = new LRUCache<string, Entry>({ max: MAX_REMEMBERED })
  readonly #running = new Map<string, Promise<Verdict>>()
  readonly #lanes = { member: new Queue<Verdict>(LANE), stranger: new Queue<Verdict>(LANE) }
  readonly #rates: TokenBuckets

  constructor(init: DoorInit) {
    this.#init = init
    this.#now = init.now ?? Date.now
    this.#exempt = new Set(init.exempt)
    this.#rates = new TokenBuckets({ maxKeys: 2, now: this.#now })
  }

  /** Asks the chain where that is needed; questions about one peer at the same time are one. Never throws but for the signal. */
  async check(peerId: PeerId, signal?: AbortSignal): Promise<Verdict> {
    const peer = peerId.toString()
    const entry = this.#entryOf(peer)
    if (this.#exempt.has(peer)) {
      return { admitted: true }
    }
    if (entry != null && this.#now() < entry.expiresAtMs) {
      return entry.verdict
    }
    const running = this.#running.get(peer) ?? this.#ask(peerId)
    if (!this.#running.has(peer)) {
      this.#running.set(peer, running)
      void running.finally(() => this.#running.delete(peer))
    }
    return raceSignal(running, signal)
  }

  /** Why a peer is not let in, by what was last found out; undefined where it is. */
  refusalOf(peerId: PeerId): string | undefined {
    const peer = peerId.toString()
    if (this.#exempt.has(peer)) {
      return undefined
    }
    const verdict = this.#entryOf(peer)?.verdict ?? { admitted: false, reason: 'it was not asked of the chain yet' }
    return verdict.admitted ? undefined : verdict.reason
  }

  /** The chain is asked again when these peers are checked next: something about them changed. All of them without a list. */
  expire(peers?: readonly PeerId[]): void {
    for (const known of [this.#members, this.#strangers]) {
      const keys = peers == null ? [...known.keys()] : peers.map(String)
      for (const key of keys) {
        const entry = known.peek(key)
        if (entry != null) {
          entry.expiresAtMs = 0
        }
      }
    }
  }

  #entryOf(peer: string): Entry | undefined {
    return this.#members.get(peer) ?? this.#strangers.get(peer)
  }

  async #ask(peerId: PeerId): Promise<Verdict> {
    const kind = this.#members.has(peerId.toString()) ? 'member' : 'stranger'
    const lane = this.#lanes[kind]
    if (lane.size >= LANE.maxSize || !this.#rates.take(kind, RATE)) {
      // a member stays what it was; a stranger is not even remembered
      const known = this.#members.get(peerId.toString())
      return known?.verdict ?? { admitted: false, reason: 'too many peers knock at once: try again in a moment' }
    }
    return lane.add(async () => this.#askChain(peerId))
  }

  async #askChain(peerId: PeerId): Promise<Verdict> {
    const { registry, minClass } = this.#init
    try {
      const found = await registry.isRegistered(peerId, minClass, {
        signal: AbortSignal.timeout(CHECK_TIMEOUT_MS),
        patienceMs: CHAIN_PATIENCE_MS,
      })
      if (found.registered && this.#now() - found.readAtMs >= LAST_YES_MS) {
        throw new Error('the chain is away for over an hour')
      }
      return found.registered ? this.#admit(peerId, found.readAtMs) : this.#refuse(peerId, this.#notRegistered(peerId), NEGATIVE_TTL_MS)
    } catch (error) {
      return this.#withoutChain(peerId, error)
    }
  }

  #withoutChain(peerId: PeerId, error: unknown): Verdict {
    const { onError, log } = this.#init
    const peer = peerId.toString()
    const expiresAtMs = this.#now() + ERROR_TTL_MS
    const known = this.#members.get(peer)
    log.debug(`whether ${peer} is registered cannot be said`, error)
    if (known?.registeredAtMs != null && this.#now() - known.registeredAtMs < LAST_YES_MS) {
      known.expiresAtMs = expiresAtMs
      return known.verdict
    }
    if (onError === 'allow') {
      this.#members.delete(peer)
      this.#strangers.set(peer, { verdict: { admitted: true }, expiresAtMs })
      return { admitted: true }
    }
    return this.#refuse(peerId, `whether ${peer} is registered cannot be said now: ${describeError(error)}`, ERROR_TTL_MS)
  }

  #admit(peerId: PeerId, registeredAtMs: number): Verdict {
    const verdict: Verdict = { admitted: true }
    this.#strangers.delete(peerId.toString())
    this.#members.set(peerId.toString(), { verdict, registeredAtMs, expiresAtMs: this.#now() + POSITIVE_TTL_MS })
    return verdict
  }

  #refuse(peerId: PeerId, reason: string, ttlMs: number): Verdict {
    const verdict: Verdict = { admitted: false, reason }
    this.#members.delete(peerId.toString())
    this.#strangers.set(peerId.toString(), { verdict, expiresAtMs: this.#now() + ttlMs })
    return verdict
  }

  #notRegistered(peerId: PeerId): string {
    const { minClass, subnetId } = this.#init
    const asWhat = minClass === 'registered' ? '' : ` as ${minClass} or more`
    return `${peerId.toString()} is not registered in subnet ${subnetId}${asWhat}`
  }
}
