import type { PeerId } from '@libp2p/interface'
import type { Logger } from '../observe/logger.ts'
import { type Metrics, NO_METRICS } from '../observe/metrics.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { DialOutcome } from './dial/dial-outcome.ts'
import type { UpgradeOutcome } from './direct/direct-upgrades.ts'
import { Instruments } from './instruments.ts'

/** Tells of each decision that somebody may ask about: a line in the log with its reason, and a number. */
export class NodeObserver {
  readonly instruments: Instruments
  readonly #dialLog: Logger
  readonly #resolveLog: Logger
  readonly #admissionLog: Logger

  /** @param own the protocols of the node: only these are labels */
  constructor(log: Logger, metrics: Metrics = NO_METRICS, own: () => Iterable<{ id: string }> = () => []) {
    this.instruments = new Instruments(metrics, own)
    this.#dialLog = log.scoped('dial')
    this.#resolveLog = log.scoped('resolve')
    this.#admissionLog = log.scoped('admission')
  }

  /** A tier was asked, or need not be. */
  readonly onTier = (peerId: PeerId, attempt: Attempt): void => {
    const { tier, outcome, ms, detail } = attempt
    this.#resolveLog.debug(outcome === 'skipped' ? 'a tier was skipped' : 'a tier was asked', detail, {
      ...{ peer: peerId, tier, outcome, ms: Math.round(ms) },
    })
    this.instruments.onTier(attempt)
  }

  /** An address was dialled, or was not to be. */
  readonly onDial = (dial: DialOutcome): void => {
    const { address, peerId, outcome, reason, ms } = dial
    this.#dialLog.debug('an address was dialled', reason, { peer: peerId, address, outcome, ms: Math.round(ms) })
    this.instruments.onDial(dial)
  }

  /** A direct connection was tried beside one over a relay: who tries it has told the log. */
  readonly onUpgrade = (upgrade: UpgradeOutcome): void => this.instruments.onUpgrade(upgrade)

  /** A connection lost its place, or got none. */
  readonly onPlaceLimit = (host: string, limit: string, reason: string): void => {
    this.#admissionLog.debug('a limit was met', reason, { host, limit })
    this.instruments.onRefusal(limit)
  }
}
