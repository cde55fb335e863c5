import { randomUUID } from 'node:crypto'
import type { Connection } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import { targetOf } from '../node/home/aliases.ts'
import type { Settings } from '../node/home/config.ts'
import { NodeError } from '../node/home/errors.ts'
import type { Home } from '../node/home/home.ts'
import { shownChain } from '../node/home/shown-chain.ts'
import type { KnownPeer } from '../node/peers.ts'
import type { SubnetNode } from '../node/subnet-node.ts'
import { parsePeerMultiaddr } from '../primitives/address.ts'
import { DEFAULT_TIMEOUT_MS, Deadline } from '../primitives/deadline.ts'
import type { Destination } from '../protocol/api/host.ts'
import { bodyOf } from '../protocol/message/body-bytes.ts'
import type { AddressSource } from '../resolve/tier.ts'
import { Activity } from './activity.ts'
import { AliasCalls } from './alias-calls.ts'
import type {
  ActivityAnswer,
  BenchAnswer,
  ConnectAnswer,
  DisconnectAnswer,
  IdAnswer,
  PeerRow,
  PingAnswer,
  ResolveAnswer,
  StatusAnswer,
  StatusProblem,
  TaskAnswer,
} from './answers.ts'
import { bench } from './bench.ts'
import { checkBenchPlan } from './bench-plan.ts'
import { ChainCalls } from './chain-calls.ts'
import { chainState } from './chain-state.ts'
import { nodeSettings } from './node-settings.ts'
import { placesAnswer, placesProblem } from './place-answers.ts'
import { portMappingAnswer } from './port-mapping-answer.ts'
import { ProtocolCalls } from './protocol-calls.ts'
import { roundAttempts, roundMs } from './round-ms.ts'
import type { BenchPlan, EventsOptions, NodeEvent, NodeSettingsAnswer, Session, SessionOptions, TaskInput } from './session.ts'
import { statusProblems } from './status-problems.ts'
import { withStepDeadline } from './step-deadline.ts'
import { type SentTask, TaskCalls } from './task-calls.ts'
import { TaskCounts } from './task-counts.ts'

export interface NodeSessionInit {
  node: SubnetNode
  home: Home
  settings: Settings
  agent: string
  /** The reason why the addresses of a publishing node are not on the chain. */
  publishProblem?: (() => StatusProblem | undefined) | undefined
  /** The events of the node; undefined for the node of a single command. */
  events?: ((options: EventsOptions) => AsyncIterable<NodeEvent[]>) | undefined
  /** Called when a task sent by this node has ended. */
  onSent?: ((task: SentTask) => void) | undefined
  /** Starts to stop the node. */
  stop(): void
}

const LATENCY_TIMEOUT_MS = 1_000
/** Limits for updates of `watchPeers`. Values without an event, such as a latency, are polled. */
const WATCH = { atMostEveryMs: 200, atLeastEveryMs: 2_000 }
const CHANGES = ['peer:connect', 'peer:disconnect', 'heartbeat'] as const

/** A session on a node in this process. */
export class NodeSession implements Session {
  readonly aliases: AliasCalls
  readonly chain: ChainCalls
  readonly protocols: ProtocolCalls
  readonly #init: NodeSessionInit
  readonly #node: SubnetNode
  readonly #startedAtMs = performance.now()
  readonly #tasks = new TaskCounts()
  readonly #sent: TaskCalls
  readonly #activity: Activity

  constructor(init: NodeSessionInit) {
    const { node } = init
    this.#init = init
    this.#node = node
    this.#activity = new Activity(node)
    this.#sent = new TaskCalls(node, (task) => {
      this.#activity.onSent(task)
      init.onSent?.(task)
    })
    this.aliases = new AliasCalls({
      aliases: () => node.aliases,
      self: () => node.peerId,
      connected: () => node.connections.map(({ remotePeer }) => remotePeer.toString()),
    })
    this.chain = new ChainCalls({
      registry: () => node.registry,
      aliases: () => node.aliases,
      self: () => node.peerId,
      ownAddresses: () => node.multiaddrs,
      settings: init.settings,
    })
    this.protocols = new ProtocolCalls({
      node,
      destination: async (peer) => this.#destination(peer),
      maxRequestBytes: init.settings.maxFrameBytes,
    })
    node.on('task', (task) => this.#tasks.count(task))
  }

  async id(): Promise<IdAnswer> {
    return { peerId: this.#node.peerId.toString(), multiaddrs: this.#node.multiaddrs.map(String) }
  }

  async settings(): Promise<NodeSettingsAnswer> {
    return nodeSettings(this.#init.settings, this.#init.home)
  }

  async status(options: SessionOptions = {}): Promise<StatusAnswer> {
    const { home, settings, agent } = this.#init
    const chain = await chainState(this.#node, shownChain(nodeSettings(settings, home).chain), options)
    const { heartbeats, book, places } = this.#node.stats
    const directions = this.#node.connections.map(({ direction }) => direction)
    const multiaddrs = this.#node.multiaddrs.map(String)
    const problems = await this.problems(chain.error, options.signal)
    return {
      healthy: problems.every(({ severity }) => severity !== 'error'),
      problems,
      notices: this.#node.notices,
      peerId: this.#node.peerId.toString(),
      multiaddrs,
      reachability: this.#reachability(),
      portMapping: portMappingAnswer(this.#node.portMapping),
      subnetId: settings.subnetId,
      network: settings.network,
      home: home.path,
      pid: process.pid,
      agent,
      uptimeMs: this.#uptimeMs,
      connections: {
        inbound: directions.filter((direction) => direction === 'inbound').length,
        outbound: directions.filter((direction) => direction === 'outbound').length,
      },
      places: placesAnswer(places),
      heartbeats: { ...heartbeats, lastReceivedAtMs: heartbeats.lastReceivedAtMs ?? null },
      tasks: { ...this.#tasks.state, ...this.#sent.counts, running: this.#node.tasks.handling, queued: this.#node.tasks.waiting },
      book,
      chain,
    }
  }

  async activity(): Promise<ActivityAnswer> {
    return this.#activity.answer(this.#uptimeMs, this.#sent.counts)
  }

  get #uptimeMs(): number {
    return Math.round(performance.now() - this.#startedAtMs)
  }

  /** The node's problems. @param chainError the error of a request to the chain. @default the last known error, without a new request */
  async problems(chainError = this.#node.registry.state().lastError ?? null, signal?: AbortSignal): Promise<StatusProblem[]> {
    const { bookFailure, places } = this.#node.stats
    return statusProblems({
      settings: this.#init.settings,
      addresses: this.#node.multiaddrs.length,
      connections: this.#node.connections.length,
      bootstrapRefusals: this.#node.bootstrapRefusals,
      chain: [...(chainError == null ? [] : [chainError]), ...this.#node.registry.state().problems],
      publishing: this.#init.publishProblem?.(),
      ownRefusal: await this.#node.ownRefusal(signal),
      full: placesProblem(places),
      clock: this.#node.clockProblem,
      book: bookFailure,
    })
  }

  async *events(options: EventsOptions = {}): AsyncGenerator<NodeEvent[]> {
    if (this.#init.events == null) {
      throw new NodeError('NOT_RUNNING', 'the temporary node of a command has no events to follow')
    }
    yield* this.#init.events(options)
  }

  /** A node that listens nowhere has no addresses. */
  #reachability(): StatusAnswer['reachability'] {
    const { verdict = 'unknown', addresses = [] } = this.#node.reachability ?? {}
    return { verdict, addresses: addresses.map(({ multiaddr, ...rest }) => ({ multiaddr: multiaddr.toString(), ...rest })) }
  }

  async stop(): Promise<{ peerId: string; pid: number }> {
    this.#init.stop()
    return { peerId: this.#node.peerId.toString(), pid: process.pid }
  }

  async peers(options: SessionOptions & { all?: boolean } = {}): Promise<PeerRow[]> {
    const peers = await this.#node.peers({ all: options.all === true })
    const names = this.#node.aliases.byPeer()
    return Promise.all(peers.map(async (peer) => this.#row(peer, names, options)))
  }

  async *watchPeers(options: SessionOptions & { all?: boolean } = {}): AsyncGenerator<PeerRow[]> {
    const { signal } = options
    let changed = Promise.withResolvers<void>()
    const left = new Set<string>()
    const onChange = (): void => changed.resolve()
    const onLeft = ({ peerId }: { peerId: string }): unknown => left.add(peerId)
    this.#node.on('peer:disconnect', onLeft)
    for (const event of CHANGES) {
      this.#node.on(event, onChange)
    }
    try {
      while (signal?.aborted !== true) {
        changed = Promise.withResolvers()
        const peers = await this.peers(options)
        const returned = peers.filter(({ connected, peerId }) => connected && left.has(peerId))
        left.clear()
        if (returned.length > 0) {
          // a peer that left and came back between two states would seem to have stayed
          yield peers.filter((peer) => !returned.includes(peer))
        }
        yield peers
        const [pause, enough] = [timer(WATCH.atMostEveryMs), timer(WATCH.atLeastEveryMs)]
        const news = Promise.race([changed.promise, enough.over])
        await raceSignal(Promise.all([pause.over, news]), signal).finally(() => {
          pause.clear()
          enough.clear()
        })
      }
    } finally {
      this.#node.off('peer:disconnect', onLeft)
      for (const event of CHANGES) {
        this.#node.off(event, onChange)
      }
    }
  }

  async resolve(peer: string, options: Parameters<Session['resolve']>[1] = {}): Promise<ResolveAnswer> {
    const { peerId, multiaddr } = await this.#target(peer)
    if (multiaddr != null) {
      await withStepDeadline('dial', options, late('dial'), async (signal) => this.#node.connect(multiaddr, signal))
      return { peerId: peerId.toString(), multiaddrs: [multiaddr.toString()], source: 'given', ageMs: 0, verified: true, attempts: [] }
    }
    const { tiers, maxAgeMs } = options
    const found = await withStepDeadline('resolve', options, late('resolve'), async (signal) =>
      this.#node.resolve(peerId, { signal, tiers, maxAgeMs }),
    )
    return {
      peerId: peerId.toString(),
      multiaddrs: found.multiaddrs.map(String),
      source: found.source,
      ageMs: found.ageMs == null ? null : Math.round(found.ageMs),
      verified: found.verified,
      attempts: roundAttempts(found.attempts),
    }
  }

  async sendTask(peer: string, task: TaskInput, options: SessionOptions = {}): Promise<TaskAnswer> {
    return this.#sent.send(async () => this.#destination(peer), task, options)
  }

  async connect(multiaddr: string, options: SessionOptions = {}): Promise<ConnectAnswer> {
    const target = parsePeerMultiaddr(multiaddr)
    const opened = await withStepDeadline('dial', options, late('dial'), async (signal) => this.#node.connect(target.multiaddr, signal))
    const { remotePeer, remoteAddr, direction } = opened
    return { peerId: remotePeer.toString(), multiaddr: remoteAddr.toString(), direction }
  }

  async disconnect(peer: string, options: SessionOptions = {}): Promise<DisconnectAnswer> {
    const { peerId } = await this.#target(peer)
    const connections = await withStepDeadline('wait', options, late('wait'), async (signal) => this.#node.disconnect(peerId, signal))
    return { peerId: peerId.toString(), connections }
  }

  async ping(peer: string, options: SessionOptions = {}): Promise<PingAnswer> {
    const to = await this.#destination(peer)
    const { ms, reached } = await withStepDeadline('wait', options, late('wait'), async (signal) => this.#node.ping(to, signal))
    const { remotePeer, remoteAddr } = reached.connection
    const source = reached.source as AddressSource
    return { peerId: remotePeer.toString(), source, multiaddr: remoteAddr.toString(), roundTripMs: roundMs(ms) }
  }

  async *bench(peer: string, plan: BenchPlan, options: SessionOptions = {}): AsyncGenerator<BenchAnswer> {
    checkBenchPlan(plan, this.#init.settings.maxFrameBytes)
    const to = await this.#destination(peer)
    const giveUpAtMs = performance.now() + (options.timeoutMs ?? plan.durationMs + DEFAULT_TIMEOUT_MS)
    const send = async (payload: Uint8Array, signal: AbortSignal): Promise<TaskAnswer> => {
      const { size, chunks } = bodyOf(payload)
      const timeoutMs = Math.max(1, giveUpAtMs - performance.now())
      const answer = await this.#sent.send(async () => to, { taskId: randomUUID(), payload: chunks, size }, { signal, timeoutMs })
      for await (const _ of answer.result) {
        // reads to the end
      }
      return answer
    }
    yield* bench(plan, send, options.signal)
  }

  /** Does not stop the node, which belongs to its owner. */
  async close(): Promise<void> {
    // a session holds no resources
  }

  async #target(peer: string): ReturnType<typeof targetOf> {
    return targetOf(peer, () => this.#node.aliases)
  }

  async #destination(peer: string): Promise<Exclude<Destination, string>> {
    const { peerId, multiaddr } = await this.#target(peer)
    return multiaddr ?? peerId
  }

  async #row({ peerId, connection, ...known }: KnownPeer, names: Map<string, string>, options: SessionOptions): Promise<PeerRow> {
    // without a known address, the connection's own address helps to identify the peer
    const multiaddrs = known.multiaddrs.length > 0 || connection == null ? known.multiaddrs : [connection.remoteAddr]
    return {
      peerId: peerId.toString(),
      alias: names.get(peerId.toString()) ?? null,
      connected: connection != null,
      direction: connection?.direction ?? null,
      latencyMs: await this.#latency(connection, options),
      agent: known.agent ?? null,
      protocols: known.protocols,
      multiaddrs: multiaddrs.map(String),
      source: known.source,
      lastHeartbeatMs: known.entry?.heartbeatAtMs ?? null,
      network: known.network ?? null,
    }
  }

  /** The latency from the connection's own pings. A connection too young for one is measured now. */
  async #latency(connection: Connection | undefined, options: SessionOptions): Promise<number | null> {
    if (connection == null) {
      return null
    }
    if (connection.rtt != null) {
      return roundMs(connection.rtt)
    }
    using deadline = new Deadline(LATENCY_TIMEOUT_MS, options.signal)
    const measured = await this.#node.ping(connection.remotePeer, deadline.signal).catch(() => undefined)
    return measured == null ? null : roundMs(measured.ms)
  }
}

/** The error text for a step that took too long. */
function late(step: string): string {
  return `timed out in step "${step}"`
}

function timer(ms: number): { over: Promise<void>; clear(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timeout = setTimeout(resolve, ms)
  return { over: promise, clear: () => clearTimeout(timeout) }
}
