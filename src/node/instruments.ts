import type { Outcome } from '../gossip/verdict.ts'
import type { Counter, Histogram, Labelled, Metrics } from '../observe/metrics.ts'
import { SubnetError } from '../primitives/errors.ts'
import type { EndedExchange, ExchangeObserver } from '../protocol/api/exchange-observer.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { DialOutcome } from './dial/dial-outcome.ts'
import type { UpgradeOutcome } from './direct/direct-upgrades.ts'

/** In seconds. A call takes about a millisecond on loopback, and up to a minute with a deadline. */
const CALL_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const TIER_BUCKETS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const DIAL_BUCKETS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20]

/** Outbound for calls of this node, inbound for requests of peers. */
export type Direction = 'outbound' | 'inbound'

/** Label of all protocols that the node does not serve. Their IDs are chosen by peers, so their number is unbounded. */
const OTHER_PROTOCOLS = 'other'

/** Counters of one label: a protocol of the node, or all other protocols together. */
interface ExchangeInstruments {
  protocol: string
  outcomes: Map<string, Counter>
  seconds: Histogram
  sent: Counter
  received: Counter
}

/** Counters and histograms of a node's events. For gauges see `addGauges`. */
export class Instruments implements ExchangeObserver {
  readonly #calls: Labelled<'direction' | 'protocol' | 'outcome', Counter>
  readonly #callSeconds: Labelled<'direction' | 'protocol', Histogram>
  readonly #callBytes: Labelled<'direction' | 'protocol' | 'flow', Counter>
  readonly #tasks: Record<Direction, { accepted: Counter; rejected: Counter }>
  readonly #tiers: Labelled<'tier' | 'outcome', Counter>
  readonly #tierSeconds: Labelled<'tier', Histogram>
  readonly #dials: Labelled<'outcome', Counter>
  readonly #dialSeconds: Labelled<'outcome', Histogram>
  readonly #upgrades: Labelled<'way' | 'outcome', Counter>
  readonly #heartbeats: Labelled<'direction' | 'outcome', Counter>
  readonly #exchanges = { outbound: new Map<string, ExchangeInstruments>(), inbound: new Map<string, ExchangeInstruments>() }
  readonly #refusals: Labelled<'reason', Counter>
  readonly #own: () => Iterable<{ id: string }>

  /** @param own the protocols of the node */
  constructor(metrics: Metrics, own: () => Iterable<{ id: string }>) {
    this.#own = own
    this.#calls = metrics.counter('subnet_calls_total', {
      help: 'Calls of this node (outbound) and requests of peers (inbound) that have ended',
      labels: ['direction', 'protocol', 'outcome'],
    })
    this.#callSeconds = metrics.histogram('subnet_call_duration_seconds', {
      help: 'Time from the beginning of a call or a request to its end',
      ...{ labels: ['direction', 'protocol'], unit: 'seconds', buckets: CALL_BUCKETS },
    })
    this.#callBytes = metrics.counter('subnet_call_bytes_total', {
      help: 'Bytes of the messages of calls and requests, without framing',
      labels: ['direction', 'protocol', 'flow'],
    })
    const tasks = metrics.counter('subnet_tasks_total', {
      help: 'Tasks that were answered, by peers (outbound) and by this node (inbound)',
      labels: ['direction', 'outcome'],
    })
    const answered = (direction: Direction): { accepted: Counter; rejected: Counter } => ({
      accepted: tasks.with({ direction, outcome: 'accepted' }),
      rejected: tasks.with({ direction, outcome: 'rejected' }),
    })
    this.#tasks = { outbound: answered('outbound'), inbound: answered('inbound') }
    this.#tiers = metrics.counter('subnet_resolutions_total', {
      help: 'Tiers that resolutions asked or skipped',
      labels: ['tier', 'outcome'],
    })
    this.#tierSeconds = metrics.histogram('subnet_resolution_duration_seconds', {
      help: 'Time that a tier took, if it was asked',
      ...{ labels: ['tier'], unit: 'seconds', buckets: TIER_BUCKETS },
    })
    this.#dials = metrics.counter('subnet_dials_total', {
      help: 'Dials of addresses, including refused ones and those that libp2p starts itself',
      labels: ['outcome'],
    })
    this.#dialSeconds = metrics.histogram('subnet_dial_duration_seconds', {
      help: 'Time of the dial of one address, including handshakes',
      ...{ labels: ['outcome'], unit: 'seconds', buckets: DIAL_BUCKETS },
    })
    this.#upgrades = metrics.counter('subnet_direct_upgrades_total', {
      help: 'Attempts to get a direct connection to a peer that is connected over a relay',
      labels: ['way', 'outcome'],
    })
    this.#heartbeats = metrics.counter('subnet_heartbeats_total', {
      help: 'Heartbeats sent and received',
      labels: ['direction', 'outcome'],
    })
    this.#refusals = metrics.counter('subnet_admission_refusals_total', {
      help: 'Connections and peers that were refused',
      labels: ['reason'],
    })
  }

  onCall(call: EndedExchange): void {
    this.#exchange('outbound', call)
  }

  onRequest(request: EndedExchange): void {
    this.#exchange('inbound', request)
  }

  onTask(direction: Direction, accepted: boolean): void {
    this.#tasks[direction][accepted ? 'accepted' : 'rejected'].add()
  }

  onTier({ tier, outcome, ms }: Attempt): void {
    this.#tiers.with({ tier, outcome }).add()
    if (outcome !== 'skipped') {
      this.#tierSeconds.with({ tier }).record(ms / 1_000)
    }
  }

  onDial({ outcome, ms }: DialOutcome): void {
    this.#dials.with({ outcome: snake(outcome) }).add()
    this.#dialSeconds.with({ outcome: outcome === 'connected' ? outcome : 'failed' }).record(ms / 1_000)
  }

  onUpgrade({ way, outcome }: UpgradeOutcome): void {
    this.#upgrades.with({ way: snake(way), outcome }).add()
  }

  onHeartbeat(outcome: Outcome): void {
    this.#heartbeats.with({ direction: outcome === 'sent' ? 'outbound' : 'inbound', outcome }).add()
  }

  /** @param reason one of a small, fixed set */
  onRefusal(reason: string): void {
    this.#refusals.with({ reason: snake(reason) }).add()
  }

  #exchange(direction: Direction, { protocolId, ms, bytesSent, bytesReceived, error }: EndedExchange): void {
    const known = this.#exchanges[direction].get(protocolId) ?? this.#enter(direction, this.#labelOf(protocolId))
    const outcome = outcomeOf(error)
    let count = known.outcomes.get(outcome)
    if (count == null) {
      count = this.#calls.with({ direction, protocol: known.protocol, outcome })
      known.outcomes.set(outcome, count)
    }
    count.add()
    known.seconds.record(ms / 1_000)
    if (bytesSent > 0) {
      known.sent.add(bytesSent)
    }
    if (bytesReceived > 0) {
      known.received.add(bytesReceived)
    }
  }

  #labelOf(protocolId: string): string {
    return [...this.#own()].some(({ id }) => id === protocolId) ? protocolId : OTHER_PROTOCOLS
  }

  #enter(direction: Direction, protocol: string): ExchangeInstruments {
    const there = this.#exchanges[direction].get(protocol)
    if (there != null) {
      return there
    }
    const entered: ExchangeInstruments = {
      protocol,
      outcomes: new Map(),
      seconds: this.#callSeconds.with({ direction, protocol }),
      sent: this.#callBytes.with({ direction, protocol, flow: 'sent' }),
      received: this.#callBytes.with({ direction, protocol, flow: 'received' }),
    }
    this.#exchanges[direction].set(protocol, entered)
    return entered
  }
}

/** Returns `ok`, the code of an error of this package, or `failed`. */
function outcomeOf(error: unknown): string {
  if (error == null) {
    return 'ok'
  }
  return error instanceof SubnetError ? error.code.toLowerCase() : 'failed'
}

/** Formats text as a label value. */
function snake(words: string): string {
  return words.replaceAll(' ', '_')
}
