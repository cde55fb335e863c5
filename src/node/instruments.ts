import type { Outcome } from '../gossip/verdict.ts'
import type { Counter, Histogram, Metrics } from '../observe/metrics.ts'
import { SubnetError } from '../primitives/errors.ts'
import type { EndedExchange, ExchangeObserver } from '../protocol/api/exchange-observer.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { DialOutcome } from './dial/dial-outcome.ts'

/** Seconds: a call on loopback takes a millisecond, one with a deadline a minute. */
const CALL_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const TIER_BUCKETS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const DIAL_BUCKETS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20]

/** Whether this node asked or was asked. */
export type Direction = 'outbound' | 'inbound'

/** What a node counts and measures as it happens. What it has at a moment are gauges: see `gauges`. */
export class Instruments implements ExchangeObserver {
  readonly #calls: Counter<'direction' | 'protocol' | 'outcome'>
  readonly #callSeconds: Histogram<'direction' | 'protocol'>
  readonly #callBytes: Counter<'direction' | 'protocol' | 'flow'>
  readonly #tasks: Counter<'direction' | 'outcome'>
  readonly #tiers: Counter<'tier' | 'outcome'>
  readonly #tierSeconds: Histogram<'tier'>
  readonly #dials: Counter<'outcome'>
  readonly #dialSeconds: Histogram<'outcome'>
  readonly #heartbeats: Counter<'direction' | 'outcome'>
  readonly #refusals: Counter<'reason'>

  constructor(metrics: Metrics) {
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
    this.#tasks = metrics.counter('subnet_tasks_total', {
      help: 'Tasks that were answered, by peers (outbound) and by this node (inbound)',
      labels: ['direction', 'outcome'],
    })
    this.#tiers = metrics.counter('subnet_resolutions_total', {
      help: 'Tiers that a resolution came to',
      labels: ['tier', 'outcome'],
    })
    this.#tierSeconds = metrics.histogram('subnet_resolution_duration_seconds', {
      help: 'Time that a tier took, where it was asked',
      ...{ labels: ['tier'], unit: 'seconds', buckets: TIER_BUCKETS },
    })
    this.#dials = metrics.counter('subnet_dials_total', {
      help: 'Addresses that were dialled, or were to be, those that libp2p dials by itself too',
      labels: ['outcome'],
    })
    this.#dialSeconds = metrics.histogram('subnet_dial_duration_seconds', {
      help: 'Time that the dial of one address took, handshakes included',
      ...{ labels: ['outcome'], unit: 'seconds', buckets: DIAL_BUCKETS },
    })
    this.#heartbeats = metrics.counter('subnet_heartbeats_total', {
      help: 'Heartbeats that were sent, and those that came',
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
    this.#tasks.add({ direction, outcome: accepted ? 'accepted' : 'rejected' })
  }

  onTier({ tier, outcome, ms }: Attempt): void {
    this.#tiers.add({ tier, outcome })
    if (outcome !== 'skipped') {
      this.#tierSeconds.record(ms / 1_000, { tier })
    }
  }

  onDial({ outcome, ms }: DialOutcome): void {
    const labels = { outcome: snake(outcome) }
    this.#dials.add(labels)
    this.#dialSeconds.record(ms / 1_000, { outcome: outcome === 'connected' ? outcome : 'failed' })
  }

  onHeartbeat(outcome: Outcome): void {
    this.#heartbeats.add({ direction: outcome === 'sent' ? 'outbound' : 'inbound', outcome })
  }

  /** @param reason one of few */
  onRefusal(reason: string): void {
    this.#refusals.add({ reason: snake(reason) })
  }

  #exchange(direction: Direction, { protocolId: protocol, ms, bytesSent, bytesReceived, error }: EndedExchange): void {
    this.#calls.add({ direction, protocol, outcome: outcomeOf(error) })
    this.#callSeconds.record(ms / 1_000, { direction, protocol })
    if (bytesSent > 0) {
      this.#callBytes.add({ direction, protocol, flow: 'sent' }, bytesSent)
    }
    if (bytesReceived > 0) {
      this.#callBytes.add({ direction, protocol, flow: 'received' }, bytesReceived)
    }
  }
}

/** `ok`, the code of an error of this package, or `failed`. */
function outcomeOf(error: unknown): string {
  if (error == null) {
    return 'ok'
  }
  return error instanceof SubnetError ? error.code.toLowerCase() : 'failed'
}

/** As values of labels are written. */
function snake(words: string): string {
  return words.replaceAll(' ', '_')
}
