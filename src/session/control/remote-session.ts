import { once } from 'node:events'
import type { Socket } from 'node:net'
import {
  type ActivityResponse,
  ActivityResponseSchema,
  BenchResponseSchema,
  ConnectResponseSchema,
  DisconnectResponseSchema,
  IdResponseSchema,
  type Peer,
  PeerSchema,
  PingResponseSchema,
  ResolveResponseSchema,
  StatusResponseSchema,
  type StopResponse,
  StopResponseSchema,
} from '../../gen/subnet/control/v1/control_pb.ts'
import type { Home } from '../../node/home/home.ts'
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
  StopAnswer,
  TaskAnswer,
} from '../answers.ts'
import { NO_PORT_MAPPING } from '../port-mapping-answer.ts'
import type {
  ActivityOptions,
  AliasSession,
  BenchPlan,
  ChainSession,
  EventsOptions,
  NodeEvent,
  NodeSettingsAnswer,
  ProtocolSession,
  Session,
  SessionOptions,
  TaskInput,
} from '../session.ts'
import { isUnknownMethod, toPlain } from './control-codec.ts'
import { connectToNode } from './control-socket.ts'
import { atOnce, type CallSignal, NodeClient, timeOf } from './node-client.ts'
import { olderActivity } from './older-activity.ts'
import { remoteAliases, remoteChain, remoteProtocols } from './remote-calls.ts'
import { remoteEvents } from './remote-events.ts'
import { RemoteTasks } from './remote-tasks.ts'

/** A session with the node that runs in the home, in another process, over its control socket. */
export class RemoteSession implements Session {
  readonly aliases: AliasSession
  readonly chain: ChainSession
  readonly protocols: ProtocolSession
  readonly #home: Home
  readonly #client: NodeClient
  readonly #tasks: RemoteTasks

  /** @param socket a connection to the node's control socket */
  constructor(socket: Socket, home: Home) {
    this.#home = home
    this.#client = new NodeClient(socket, home)
    this.#tasks = new RemoteTasks(this.#client)
    this.aliases = remoteAliases(this.#client)
    this.chain = remoteChain(this.#client)
    this.protocols = remoteProtocols(this.#client)
  }

  async id(options: SessionOptions = {}): Promise<IdAnswer> {
    return this.#client.ask(IdResponseSchema, atOnce(options), async (call) => this.#client.service.id({}, call))
  }

  async settings(options: SessionOptions = {}): Promise<NodeSettingsAnswer> {
    const { json } = await this.#client.call(atOnce(options), async (call) => this.#client.service.settings({}, call))
    // a node of an earlier version is always native, and does not report its network
    const { network = 'native', ...settings } = JSON.parse(json) as NodeSettingsAnswer
    return { ...settings, network }
  }

  async status(options: SessionOptions = {}): Promise<StatusAnswer> {
    const status: StatusAnswer = await this.#client.ask(StatusResponseSchema, options, async (call) =>
      this.#client.service.status(timeOf(options), call),
    )
    // a node of an earlier version does not report these fields
    const { network, reachability, portMapping } = status as Partial<StatusAnswer>
    return {
      ...status,
      network: network || 'native',
      reachability: reachability ?? { verdict: 'unknown', addresses: [] },
      portMapping: portMapping ?? NO_PORT_MAPPING,
    }
  }

  async activity({ onOlder, ...options }: ActivityOptions = {}): Promise<ActivityAnswer> {
    const ask = async (call: CallSignal): Promise<ActivityResponse | undefined> =>
      this.#client.service.activity(timeOf(options), call).catch((error) => {
        if (!isUnknownMethod(error)) {
          throw error
        }
        return undefined
      })
    const answer = await this.#client.call(options, ask)
    if (answer != null) {
      return toPlain<typeof ActivityResponseSchema, ActivityAnswer>(ActivityResponseSchema, answer)
    }
    onOlder?.()
    return olderActivity(...(await Promise.all([this.status(options), this.peers(options)])))
  }

  async stop(options: SessionOptions = {}): Promise<StopAnswer> {
    const work = async (call: CallSignal): Promise<StopResponse> => {
      // the node closes its connections after the home is released
      const witness = await connectToNode(this.#home, call)
      const answer = await this.#client.service.stop({}, call)
      if (witness != null) {
        await once(witness.resume(), 'close')
      }
      return answer
    }
    return toPlain<typeof StopResponseSchema, StopAnswer>(
      StopResponseSchema,
      await this.#client.call(options, work, 'the node may still stop'),
    )
  }

  async peers(options: SessionOptions & { all?: boolean } = {}): Promise<PeerRow[]> {
    const request = { all: options.all === true, ...timeOf(options) }
    const { peers } = await this.#client.call(options, async (call) => this.#client.service.peers(request, call))
    return peers.map(toRow)
  }

  async *watchPeers(options: SessionOptions & { all?: boolean } = {}): AsyncGenerator<PeerRow[]> {
    const { signal } = options
    try {
      const stream = this.#client.service.watchPeers({ all: options.all === true }, signal == null ? {} : { signal })
      for await (const { peers } of stream) {
        yield peers.map(toRow)
      }
    } catch (error) {
      signal?.throwIfAborted()
      throw await this.#client.translated(error)
    }
  }

  events(options: EventsOptions = {}): AsyncIterable<NodeEvent[]> {
    return remoteEvents(this.#client, options)
  }

  async resolve(peer: string, options: Parameters<Session['resolve']>[1] = {}): Promise<ResolveAnswer> {
    const { tiers = [], maxAgeMs } = options
    const request = { peer, tiers, ...(maxAgeMs == null ? {} : { maxAgeMs }), ...timeOf(options) }
    return this.#client.ask(ResolveResponseSchema, options, async (call) => this.#client.service.resolve(request, call))
  }

  async sendTask(peer: string, task: TaskInput, options: SessionOptions = {}): Promise<TaskAnswer> {
    return this.#tasks.send(peer, task, options)
  }

  async connect(multiaddr: string, options: SessionOptions = {}): Promise<ConnectAnswer> {
    const request = { multiaddr, ...timeOf(options) }
    return this.#client.ask(ConnectResponseSchema, options, async (call) => this.#client.service.connect(request, call))
  }

  async disconnect(peer: string, options: SessionOptions = {}): Promise<DisconnectAnswer> {
    const request = { peer, ...timeOf(options) }
    return this.#client.ask(DisconnectResponseSchema, options, async (call) => this.#client.service.disconnect(request, call))
  }

  async ping(peer: string, options: SessionOptions = {}): Promise<PingAnswer> {
    const request = { peer, ...timeOf(options) }
    return this.#client.ask(PingResponseSchema, options, async (call) => this.#client.service.ping(request, call))
  }

  async *bench(peer: string, plan: BenchPlan, options: SessionOptions = {}): AsyncGenerator<BenchAnswer> {
    const request = { peer, ...plan, ...timeOf(options) }
    for await (const state of this.#client.stream(options, (call) => this.#client.service.bench(request, call))) {
      yield toPlain<typeof BenchResponseSchema, BenchAnswer>(BenchResponseSchema, state)
    }
  }

  async close(): Promise<void> {
    this.#client.close()
  }
}

function toRow(peer: Peer): PeerRow {
  return toPlain<typeof PeerSchema, PeerRow>(PeerSchema, peer)
}
