import type { Connection } from '@libp2p/interface'
import type { SubnetNode } from '../node/subnet-node.ts'
import { parsePeerTarget } from '../primitives/address.ts'
import { isDeadline, withDeadline } from '../primitives/deadline.ts'
import { type CallPhase, ProtocolError } from '../protocol/errors.ts'
import type { CallReport, Destination, Reached } from '../protocol/protocol-base.ts'
import type { Attempt } from '../resolve/resolver.ts'
import type { AddressSource } from '../resolve/tier.ts'
import type { ConnectAnswer, PeerRow, PingAnswer, ResolveAnswer, Session, SessionOptions, TaskAnswer } from './session.ts'

const DEFAULT_PING_COUNT = 1

/** The calls of a session that need a node, on a node of this process. */
export class NodeCalls implements Pick<Session, 'peers' | 'resolve' | 'sendTask' | 'connect' | 'ping'> {
  readonly #node: SubnetNode

  constructor(node: SubnetNode) {
    this.#node = node
  }

  async peers(options: SessionOptions & { all?: boolean } = {}): Promise<PeerRow[]> {
    const peers = await this.#node.peers({ all: options.all === true })
    return Promise.all(
      peers.map(async ({ peerId, connection, agent, protocols, multiaddrs, source, entry }) => ({
        peerId: peerId.toString(),
        alias: null,
        connected: connection != null,
        direction: connection?.direction ?? null,
        latencyMs: await this.#latency(connection, options),
        agent: agent ?? null,
        protocols,
        // of a peer whose address is not known, the connection's own: of use to see who it is
        multiaddrs: (multiaddrs.length > 0 || connection == null ? multiaddrs : [connection.remoteAddr]).map(String),
        source,
        lastHeartbeatMs: entry?.heartbeatAtMs ?? null,
      })),
    )
  }

  async resolve(peer: string, options: Parameters<Session['resolve']>[1] = {}): Promise<ResolveAnswer> {
    const { peerId, multiaddr } = parsePeerTarget(peer)
    if (multiaddr != null) {
      await inTime('dial', options, async (signal) => this.#node.connect(multiaddr, signal))
      return { peerId: peerId.toString(), multiaddrs: [multiaddr.toString()], source: 'given', ageMs: 0, verified: true, attempts: [] }
    }
    const { tiers, maxAgeMs } = options
    const found = await inTime('resolve', options, async (signal) => this.#node.resolve(peerId, { signal, tiers, maxAgeMs }))
    return {
      peerId: peerId.toString(),
      multiaddrs: found.multiaddrs.map(String),
      source: found.source,
      ageMs: found.ageMs == null ? null : Math.round(found.ageMs),
      verified: found.verified,
      attempts: rounded(found.attempts),
    }
  }

  async sendTask(
    peer: string,
    { taskId, payload }: { taskId: string; payload: Uint8Array },
    options: SessionOptions = {},
  ): Promise<TaskAnswer> {
    let report: CallReport | undefined
    const response = await this.#node.tasks.sendTask(destination(peer), taskId, payload, {
      signal: options.signal,
      timeoutMs: options.timeoutMs,
      onReport: (made) => {
        report = made
      },
    })
    const { connection, source, attempts, timings } = reported(report)
    return {
      taskId,
      peerId: connection.remotePeer.toString(),
      source,
      multiaddr: connection.remoteAddr.toString(),
      accepted: response.accepted,
      error: response.accepted ? null : { code: 'TASK_REJECTED', message: response.error },
      bytesSent: payload.byteLength,
      bytesReceived: response.result.byteLength,
      attempts,
      timings,
      result: response.result,
    }
  }

  async connect(multiaddr: string, options: SessionOptions = {}): Promise<ConnectAnswer> {
    const target = parsePeerTarget(multiaddr).multiaddr
    if (target == null) {
      throw new TypeError('connect takes a multiaddr')
    }
    const { remotePeer, remoteAddr, direction } = await inTime('dial', options, async (signal) => this.#node.connect(target, signal))
    return { peerId: remotePeer.toString(), multiaddr: remoteAddr.toString(), direction }
  }

  async ping(peer: string, options: SessionOptions & { count?: number } = {}): Promise<PingAnswer> {
    const roundTripsMs: number[] = []
    const reached = await inTime('wait', options, async (signal) => {
      let last: Reached | undefined
      for (let sent = 0; sent < (options.count ?? DEFAULT_PING_COUNT); sent++) {
        const answer = await this.#node.ping(destination(peer), signal)
        roundTripsMs.push(round(answer.ms))
        last ??= answer.reached
      }
      return last
    })
    if (reached == null) {
      throw new TypeError('ping at least once')
    }
    const { remotePeer, remoteAddr } = reached.connection
    return { peerId: remotePeer.toString(), source: reached.source as AddressSource, multiaddr: remoteAddr.toString(), roundTripsMs }
  }

  /** What the connection's own pings measured; a connection too young for that is measured now. */
  async #latency(connection: Connection | undefined, options: SessionOptions): Promise<number | null> {
    if (connection == null) {
      return null
    }
    if (connection.rtt != null) {
      return round(connection.rtt)
    }
    const signal = withDeadline(options.signal, LATENCY_TIMEOUT_MS)
    const measured = await this.#node.ping(connection.remotePeer, signal).catch(() => undefined)
    return measured == null ? null : round(measured.ms)
  }
}

const LATENCY_TIMEOUT_MS = 1_000

/** Puts a deadline on a step, and names the step when the time is up. @throws ProtocolError TIMEOUT */
async function inTime<T>(phase: CallPhase, options: SessionOptions, work: (signal: AbortSignal | undefined) => Promise<T>): Promise<T> {
  const signal = withDeadline(options.signal, options.timeoutMs)
  try {
    return await work(signal)
  } catch (cause) {
    if (options.signal?.aborted !== true && signal?.aborted === true && isDeadline(signal.reason)) {
      throw new ProtocolError('TIMEOUT', `the time was up in step "${phase}"`, { cause, phase, hint: '--timeout DUR gives it longer' })
    }
    throw cause
  }
}

function destination(peer: string): Destination {
  const { peerId, multiaddr } = parsePeerTarget(peer)
  return multiaddr ?? peerId
}

function reported(report: CallReport | undefined): Pick<TaskAnswer, 'source' | 'attempts' | 'timings'> & { connection: Connection } {
  if (report?.reached == null) {
    throw new TypeError('a call that was answered had a connection')
  }
  const { resolveMs, dialMs, requestMs, totalMs } = report.timings
  return {
    connection: report.reached.connection,
    source: report.reached.source as AddressSource,
    attempts: rounded(report.reached.attempts as Attempt[]),
    timings: { resolveMs: round(resolveMs), dialMs: round(dialMs), requestMs: round(requestMs), totalMs: round(totalMs) },
  }
}

function rounded(attempts: Attempt[]): Attempt[] {
  return attempts.map((attempt) => ({ ...attempt, ms: round(attempt.ms) }))
}

/** Milliseconds to the microsecond. */
function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}
