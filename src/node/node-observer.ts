import type { PeerId } from '@libp2p/interface'
import type { Logger } from '../observe/logger.ts'
import { type Metrics, NO_METRICS } from '../observe/metrics.ts'
import { TokenBuckets } from '../primitives/token-bucket.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { DialOutcome } from './dial/dial-outcome.ts'
import type { UpgradeOutcome } from './direct/direct-upgrades.ts'
import { Instruments } from './instruments.ts'
import type { Observed, RefusalEvent } from './observed-events.ts'

/** Maximum length of a tier's detail text. */
const MAX_DETAIL_CHARACTERS = 300
/** Rate limit of refusal events, because strangers can cause refusals at will. Further refusals are only counted. */
const REFUSALS_TOLD = { burst: 20, refillMs: 1_000 }

/** Reports the decisions of a node: each one as a log line with its reason and as a metric. */
export class NodeObserver {
  readonly instruments: Instruments
  readonly #observed: Observed = { tell: () => undefined }
  /** The observers that the node itself uses. */
  readonly parts: { observer: Instruments | undefined; observed: Observed }
  readonly #dialLog: Logger
  readonly #resolveLog: Logger
  readonly #admissionLog: Logger
  readonly #tellings = new TokenBuckets({ maxKeys: 1 })
  #untold = 0

  /** @param own the protocols of the node. All others share one label */
  constructor(log: Logger, metrics?: Metrics, own: () => Iterable<{ id: string }> = () => []) {
    this.instruments = new Instruments(metrics ?? NO_METRICS, own)
    this.parts = { observer: metrics == null ? undefined : this.instruments, observed: this.#observed }
    this.#dialLog = log.scoped('dial')
    this.#resolveLog = log.scoped('resolve')
    this.#admissionLog = log.scoped('admission')
  }

  /** A tier was asked or skipped. */
  readonly onTier = (peerId: PeerId, attempt: Attempt): void => {
    const { tier, outcome, ms, detail } = attempt
    this.#resolveLog.debug(outcome === 'skipped' ? 'a tier was skipped' : 'a tier was asked', detail, {
      ...{ peer: peerId, tier, outcome, ms: Math.round(ms) },
    })
    this.instruments.onTier(attempt)
  }

  /** A resolution has ended. */
  readonly onResolved = (peerId: PeerId, { found, ms, attempts }: { found: boolean; ms: number; attempts: readonly Attempt[] }): void => {
    const told = attempts.map((attempt) => ({ ...attempt, detail: attempt.detail.slice(0, MAX_DETAIL_CHARACTERS) }))
    this.#observed.tell('resolve', { peerId: peerId.toString(), found, ms, attempts: told })
  }

  /** The door refused a peer. */
  readonly onRefusal = (kind: string, peerId: PeerId, reason: string): void => {
    this.instruments.onRefusal(kind)
    this.#tellRefusal({ reason: kind, detail: reason, peerId: peerId.toString() })
  }

  /** The callbacks of a resolver. */
  readonly resolutions = { tried: this.onTier, ended: this.onResolved }

  /** An address was dialled, or its dial was refused. */
  readonly onDial = (dial: DialOutcome): void => {
    const { address, peerId, outcome, reason, ms } = dial
    this.#dialLog.debug('an address was dialled', reason, { peer: peerId, address, outcome, ms: Math.round(ms) })
    this.instruments.onDial(dial)
  }

  /** An upgrade from a relayed to a direct connection was tried. The caller has logged it already. */
  readonly onUpgrade = (upgrade: UpgradeOutcome): void => this.instruments.onUpgrade(upgrade)

  /** A connection lost its place, or was denied one. */
  readonly onPlaceLimit = (host: string, limit: string, reason: string): void => {
    this.#admissionLog.debug('a limit was reached', reason, { host, limit })
    this.instruments.onRefusal(limit)
    this.#tellRefusal({ reason: limit, detail: reason, host })
  }

  #tellRefusal(refusal: Omit<RefusalEvent, 'count'>): void {
    this.#untold++
    if (this.#tellings.take('', REFUSALS_TOLD)) {
      this.#observed.tell('refusal', { ...refusal, count: this.#untold })
      this.#untold = 0
    }
  }
}
