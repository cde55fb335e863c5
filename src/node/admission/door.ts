import type { PeerId } from '@libp2p/interface'
import { Queue } from '@libp2p/utils'
import { LRUCache } from 'lru-cache'
import { raceSignal } from 'race-signal'
import { CHAIN_PATIENCE_MS, type ChainRegistry, type NodeClass } from '../../chain/registry.ts'
import type { Logger } from '../../observe/logger.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { describeError } from '../../primitives/errors.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'

export interface DoorInit {
  registry: Pick<ChainRegistry, 'isRegistered'>
  subnetId: number
  /** Minimum class of an admitted peer. */
  minClass: NodeClass
  /** Policy for a peer whose status is unknown because the chain is unreachable. */
  onError: 'deny' | 'allow'
  /** Peer IDs that are admitted without a check. */
  exempt: Iterable<string>
  log: Logger
  /** Called for each new refusal. */
  onRefusal?: ((kind: RefusalKind, peerId: PeerId, reason: string) => void) | undefined
  now?: () => number
}

/** Why a peer is refused. Only `not registered` is the chain's answer. The other kinds are temporary. */
export type RefusalKind = 'not registered' | 'not asked' | 'not known' | 'busy'

/** Whether a peer is admitted. `reason` is sent to the peer, so it contains nothing internal. */
export type Verdict = { admitted: true } | { admitted: false; kind: RefusalKind; reason: string }

interface Entry {
  verdict: Verdict
  /** When to check the chain again. */
  expiresAtMs: number
  /** When the chain last confirmed the registration. */
  registeredAtMs?: number | undefined
}

const POSITIVE_TTL_MS = 300_000
const NEGATIVE_TTL_MS = 30_000
/** Nothing is known, so the chain is asked again soon. */
const ERROR_TTL_MS = 5_000
/** How long a confirmed registration remains valid while the chain is unreachable. */
const LAST_YES_MS = 3_600_000
const CHECK_TIMEOUT_MS = 5_000
const MAX_REMEMBERED = 10_000
/**
 * Rate limit of chain queries: a burst, then 20 per second. Members and strangers have separate limits, so a flood of strangers cannot
 * block a member.
 */
const RATE = { burst: 64, refillMs: 50 }
const LANE = { concurrency: 4, maxSize: 64 }

/** Decides which peers are admitted: peers that are registered on the chain. Unchecked and unknown peers are denied. */
export class Door {
  readonly #init: DoorInit
  readonly #now: () => number
  readonly #exempt: Set<string>
  readonly #members = new LRUCache<string, Entry>({ max: MAX_REMEMBERED })
  readonly #strangers = new LRUCache<string, Entry>({ max: MAX_REMEMBERED })
  readonly #running = new Map<string, Promise<Verdict>>()
  readonly #lanes = { member: new Queue<Verdict>(LANE), stranger: new Queue<Verdict>(LANE) }
  readonly #rates: TokenBuckets
  /** True if the chain did not answer the last query. */
  #isBlind = false

  constructor(init: DoorInit) {
    this.#init = init
    this.#now = init.now ?? Date.now
    this.#exempt = new Set(init.exempt)
    this.#rates = new TokenBuckets({ maxKeys: 2, now: this.#now })
  }

  /** Returns a verdict, and queries the chain if necessary. Concurrent checks of one peer are merged. Throws only the signal's reason. */
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

  /** Why a peer is refused, according to the latest verdict. Undefined if it is admitted. */
  refusalOf(peerId: PeerId): string | undefined {
    const verdict = this.verdictOf(peerId)
    return verdict.admitted ? undefined : verdict.reason
  }

  /** The latest verdict, without a query. */
  verdictOf(peerId: PeerId): Verdict {
    const peer = peerId.toString()
    return this.#exempt.has(peer) ? { admitted: true } : (this.#entryOf(peer)?.verdict ?? this.#refusal(peer, 'not asked'))
  }

  /** True if a peer would be refused without a chain query. */
  isRefusing(peerId: PeerId): boolean {
    const entry = this.#entryOf(peerId.toString())
    return entry?.verdict.admitted === false && this.#now() < entry.expiresAtMs && !this.#exempt.has(peerId.toString())
  }

  /** Counts of remembered peers: registered ones, and all others. */
  get counts(): { admitted: number; refused: number } {
    return { admitted: this.#members.size, refused: this.#strangers.size }
  }

  /** True if the chain itself confirmed the registration. */
  isMember(peerId: PeerId): boolean {
    return this.#members.has(peerId.toString())
  }

  /**
   * Makes the next check of these peers query the chain again, because their registration changed. Without a list, applies to all peers.
   */
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
      // a member keeps its verdict; a stranger is not remembered
      const known = this.#members.get(peerId.toString())
      const verdict = known?.verdict ?? this.#refusal(peerId.toString(), 'busy')
      this.#tell(peerId, 'busy', 'too many chain queries at once', verdict)
      return verdict
    }
    return lane.add(async () => this.#askChain(peerId))
  }

  async #askChain(peerId: PeerId): Promise<Verdict> {
    const { registry, minClass } = this.#init
    using deadline = new Deadline(CHECK_TIMEOUT_MS)
    try {
      const found = await registry.isRegistered(peerId, minClass, { signal: deadline.signal, patienceMs: CHAIN_PATIENCE_MS })
      if (found.registered && this.#now() - found.readAtMs >= LAST_YES_MS) {
        throw new Error('the chain has been away for over an hour')
      }
      this.#see()
      return found.registered ? this.#admit(peerId, found.readAtMs) : this.#refuse(peerId, 'not registered', NEGATIVE_TTL_MS)
    } catch (error) {
      return this.#withoutChain(peerId, error)
    }
  }

  #withoutChain(peerId: PeerId, error: unknown): Verdict {
    const { onError, log } = this.#init
    const peer = peerId.toString()
    const expiresAtMs = this.#now() + ERROR_TTL_MS
    const known = this.#members.get(peer)
    // internal text, which is not sent to the peer
    log[this.#isBlind ? 'debug' : 'warn'](`cannot check the registration of ${peer} and other peers`, describeError(error), { peer })
    this.#isBlind = true
    if (known?.registeredAtMs != null && this.#now() - known.registeredAtMs < LAST_YES_MS) {
      known.expiresAtMs = expiresAtMs
      return known.verdict
    }
    if (onError === 'allow') {
      this.#members.delete(peer)
      this.#strangers.set(peer, { verdict: { admitted: true }, expiresAtMs })
      return { admitted: true }
    }
    return this.#refuse(peerId, 'not known', ERROR_TTL_MS)
  }

  #see(): void {
    if (this.#isBlind) {
      this.#isBlind = false
      this.#init.log.info('registrations of peers can be checked again')
    }
  }

  #admit(peerId: PeerId, registeredAtMs: number): Verdict {
    const verdict: Verdict = { admitted: true }
    this.#strangers.delete(peerId.toString())
    this.#members.set(peerId.toString(), { verdict, registeredAtMs, expiresAtMs: this.#now() + POSITIVE_TTL_MS })
    return verdict
  }

  #refuse(peerId: PeerId, kind: RefusalKind, ttlMs: number): Verdict {
    const peer = peerId.toString()
    const verdict = this.#refusal(peer, kind)
    this.#members.delete(peer)
    this.#strangers.set(peer, { verdict, expiresAtMs: this.#now() + ttlMs })
    this.#tell(peerId, kind, verdict.reason, verdict)
    return verdict
  }

  #tell(peerId: PeerId, kind: RefusalKind, reason: string, { admitted }: Verdict): void {
    const { log, onRefusal } = this.#init
    log.debug(admitted ? 'a peer stays admitted' : 'a peer is not admitted', reason, { peer: peerId, kind })
    if (!admitted) {
      onRefusal?.(kind, peerId, reason)
    }
  }

  #refusal(peer: string, kind: RefusalKind): Extract<Verdict, { admitted: false }> {
    const { minClass, subnetId } = this.#init
    const asWhat = minClass === 'registered' ? '' : ` as ${minClass} or more`
    const reasons: Record<RefusalKind, string> = {
      'not registered': `${peer} is not registered in subnet ${subnetId}${asWhat}`,
      'not asked': `whether ${peer} is registered was not asked of the chain yet: try again in a moment`,
      'not known': `whether ${peer} is registered cannot be found out now: try again later`,
      busy: `too many peers ask at once whether they are registered, as ${peer} does: try again in a moment`,
    }
    return { admitted: false, kind, reason: reasons[kind] }
  }
}
