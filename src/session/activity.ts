import type { Connection } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import type { ResolutionEvent } from '../node/observed-events.ts'
import type { SubnetNode } from '../node/subnet-node.ts'
import { isRelayed } from '../primitives/address-kind.ts'
import type { TaskEvent } from '../protocol/builtin/task.ts'
import type { ActivityAnswer } from './answers.ts'
import { isGivenUp, keepFailure } from './given-up.ts'
import { roundMs } from './round-ms.ts'
import type { SentTask, TaskCalls } from './task-calls.ts'

type Failure = ActivityAnswer['failures'][number]
type Tier = ActivityAnswer['tiers'][number]
type Traffic = Omit<ActivityAnswer['peers'][number], 'alias'>
type Sums = Pick<ActivityAnswer['inbound'], 'accepted' | 'rejected' | 'givenUp' | 'failed' | 'bytesSent' | 'bytesReceived'>

/** The maximum number of peers with counts. A further peer displaces the peer whose last task is oldest. */
const MAX_PEERS = 1_000
const MAX_TOLD_PEERS = 200
const MAX_FAILURES = 32
const MAX_CONNECTIONS = 500
/** The maximum length of a failure's detail. */
const MAX_DETAIL_CHARACTERS = 300

/** The part of a running node that is measured. */
type Measurable = Pick<SubnetNode, 'aliases' | 'connections' | 'tasks' | 'on'>

/**
 * Totals of a node's tasks and resolutions since it was created. A live view polls the totals once a second, and receives no single events.
 */
export class Activity {
  readonly #node: Measurable
  readonly #inbound = noSums()
  readonly #outbound = noSums()
  readonly #tiers = new Map<string, Tier>()
  readonly #peers = new LRUCache<string, Traffic>({ max: MAX_PEERS })
  /** The newest failure comes last. */
  readonly #failures: Failure[] = []

  constructor(node: Measurable) {
    this.#node = node
    node.on('task', (task) => this.#onTask(task))
    node.on('resolve', (resolution) => this.#onResolve(resolution))
  }

  /** Counts a finished outbound task. */
  onSent({ outcome, peerId, taskId, payloadBytes, resultBytes = 0, reason, detail = '' }: SentTask): void {
    const peer = this.#peer(peerId)
    peer.outbound++
    this.#outbound[outcome]++
    for (const sums of [this.#outbound, peer]) {
      sums.bytesSent += payloadBytes
      sums.bytesReceived += resultBytes
    }
    if (outcome !== 'accepted') {
      peer.failed++
      this.#fail({ direction: 'outbound', taskId, peerId, reason: reason ?? outcome, detail })
    }
  }

  /** @param counts the outbound tasks */
  answer(uptimeMs: number, { sent, sentAccepted, sentRejected, sentFailed }: TaskCalls['counts']): ActivityAnswer {
    const { aliases, connections, tasks } = this.#node
    const names = aliases.byPeer()
    const aliasOf = (peerId: string): string | null => names.get(peerId) ?? null
    return {
      uptimeMs,
      inbound: { ...this.#inbound, running: tasks.handling, queued: tasks.waiting },
      outbound: { ...this.#outbound, running: sent - sentAccepted - sentRejected - sentFailed, queued: 0 },
      tiers: [...this.#tiers.values()],
      // the cache iterates from the newest entry
      peers: Array.from(this.#peers.values())
        .slice(0, MAX_TOLD_PEERS)
        .map((peer) => ({ ...peer, alias: aliasOf(peer.peerId) })),
      failures: this.#failures.toReversed(),
      connections: connections.slice(0, MAX_CONNECTIONS).map((connection) => toldConnection(connection, aliasOf)),
    }
  }

  #onTask({ accepted, peerId, taskId, payloadBytes = 0, resultBytes = 0, reason, detail = '' }: TaskEvent): void {
    const peer = this.#peer(peerId)
    peer.inbound++
    this.#inbound[accepted ? 'accepted' : 'rejected']++
    for (const sums of [this.#inbound, peer]) {
      sums.bytesReceived += payloadBytes
      sums.bytesSent += resultBytes
    }
    if (!accepted) {
      const failure = { direction: 'inbound' as const, taskId, peerId, reason: reason ?? 'rejected', detail }
      peer.failed++
      this.#inbound.givenUp += Number(isGivenUp(failure))
      this.#fail(failure)
    }
  }

  #onResolve({ attempts }: ResolutionEvent): void {
    for (const { tier, outcome } of attempts) {
      if (outcome !== 'skipped') {
        const sums = this.#tiers.get(tier) ?? { tier, hits: 0, misses: 0, failures: 0 }
        this.#tiers.set(tier, sums)
        sums[outcome === 'hit' ? 'hits' : outcome === 'miss' ? 'misses' : 'failures']++
      }
    }
  }

  #peer(peerId: string): Traffic {
    let peer = this.#peers.get(peerId)
    if (peer == null) {
      peer = { peerId, inbound: 0, outbound: 0, failed: 0, bytesSent: 0, bytesReceived: 0, lastAtMs: 0 }
      this.#peers.set(peerId, peer)
    }
    peer.lastAtMs = Date.now()
    return peer
  }

  #fail(failure: Omit<Failure, 'atMs'>): void {
    const detail = failure.detail.slice(0, MAX_DETAIL_CHARACTERS)
    keepFailure(this.#failures, { ...failure, atMs: Date.now(), detail }, MAX_FAILURES)
  }
}

function noSums(): Sums {
  return { accepted: 0, rejected: 0, givenUp: 0, failed: 0, bytesSent: 0, bytesReceived: 0 }
}

function toldConnection(
  { remotePeer, remoteAddr, direction, timeline, rtt }: Connection,
  aliasOf: (peerId: string) => string | null,
): ActivityAnswer['connections'][number] {
  const peerId = remotePeer.toString()
  return {
    peerId,
    alias: aliasOf(peerId),
    direction,
    relayed: isRelayed(remoteAddr),
    multiaddr: remoteAddr.toString(),
    openedAtMs: timeline.open,
    latencyMs: rtt == null ? null : roundMs(rtt),
  }
}
