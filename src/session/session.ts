import type { NodeClass } from '../chain/registry.ts'
import type { BenchRequest } from '../gen/subnet/control/v1/control_pb.ts'
import type { Network } from '../node/network/network.ts'
import type { ProtocolKind } from '../protocol/api/interceptor.ts'
import type { TierName } from '../resolve/tier.ts'
import type {
  ActivityAnswer,
  AliasAnswer,
  BenchAnswer,
  ChainAnswer,
  ChainListAnswer,
  ChainPeerAnswer,
  ConnectAnswer,
  DescribedAnswer,
  DisconnectAnswer,
  FoundPeer,
  IdAnswer,
  PeerRow,
  PingAnswer,
  Plain,
  ProtocolsAnswer,
  PublishedAnswer,
  RegistrationAnswer,
  RemovedAliasAnswer,
  RemovedAnswer,
  ResolveAnswer,
  StatusAnswer,
  StopAnswer,
  TaskAnswer,
} from './answers.ts'

/** Options of every call. The deadline covers the whole call. */
export interface SessionOptions {
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
}

/** An event of a running node, as `start --json` prints it. */
export type NodeEvent = { event: string; atMs: number } & Record<string, unknown>

/** The kinds and the start of the events to follow. */
export interface EventsOptions extends SessionOptions {
  /** Kinds of events, or the part of several kinds before the colon. @default all */
  types?: readonly string[]
  /** Begins with the kept events of the last `sinceMs` milliseconds. */
  sinceMs?: number | undefined
  /** Called for a node of an earlier version, which reports fewer events and keeps none. */
  onOlder?: (() => void) | undefined
}

export interface ActivityOptions extends SessionOptions {
  /** Called for a node of an earlier version, which does not report bytes, tiers and the peers of tasks. */
  onOlder?: (() => void) | undefined
}

export interface TaskInput {
  taskId: string
  /** Read only after the peer's name is resolved, and not to its end if the call fails. */
  payload: AsyncIterable<Uint8Array>
  /** The size of the payload in bytes, if known. */
  size?: number | undefined
}

/** The size of a measurement. */
export interface BenchPlan extends Omit<Plain<BenchRequest>, 'peer' | 'timeoutMs'> {
  /** The time of all measurements together, a third each, from 1 ms to 1 h. Running tasks are completed after it. */
  durationMs: number
  /** Maximum tasks per measurement: 1 to 1,000,000. */
  count: number
  /** Concurrent tasks of the rate measurement: 1 to 128. */
  concurrency: number
  /** Payload size of the transfer measurement, up to the node's message limit. */
  sizeBytes: number
}

export interface CallInput {
  protocolId: string
  kind: ProtocolKind
  /** The encoded message. Read only after the peer's name is resolved, and not to its end if the call fails. */
  request: AsyncIterable<Uint8Array>
}

/** The node settings that a command can also set, in a comparable form: paths are absolute. */
export interface NodeSettingsAnswer {
  bootstrap: string[]
  subnetId: number
  network: Network
  chain: string
  key: string
  maxFrameBytes: number
}

/** Names for peers. They belong to the home, and need no running node. */
export interface AliasSession {
  /** @throws UsageError for an invalid or ambiguous name */
  set(alias: string, peer: string, options?: SessionOptions): Promise<AliasAnswer>
  list(options?: SessionOptions): Promise<AliasAnswer[]>
  remove(alias: string, options?: SessionOptions): Promise<RemovedAliasAnswer>
  /**
   * The peers that match a short form of a peer ID, at most 20: connected peers, this peer, peers with an alias, and peers of the address
   * book. If an alias has this name, only its peer. No other call accepts a short form, because an attacker can generate keys until one
   * matches.
   */
  find(shortForm: string, options?: SessionOptions): Promise<FoundPeer[]>
}

/** Calls to any protocol of another peer. */
export interface ProtocolSession {
  list(peer: string, options?: SessionOptions): Promise<ProtocolsAnswer>
  /** @throws ProtocolError PROTOCOL_UNSUPPORTED if the peer does not support the protocol, or does not describe its protocols */
  describe(peer: string, protocolId: string, options?: SessionOptions): Promise<DescribedAnswer>
  /** Sends the request, and yields each encoded answer as it arrives. The call begins when the first answer is read. */
  call(peer: string, input: CallInput, options?: SessionOptions): AsyncIterable<Uint8Array>
}

export interface ChainSession {
  /** @throws ChainLookupError for a peer without an address, ChainError */
  lookup(peer: string, options?: SessionOptions): Promise<ChainAnswer>
  /** Peers with addresses; with `all`, also peers that are registered without an address. */
  list(options?: SessionOptions & { all?: boolean }): Promise<ChainListAnswer>
  /** @param peer defaults to this peer @throws ChainLookupError for a peer that the chain does not know, ChainError */
  show(peer: string | undefined, options?: SessionOptions): Promise<ChainPeerAnswer>
  /** Publishes the given addresses, or else the addresses of the node that runs in this home. */
  publish(multiaddrs: string[], options?: SessionOptions): Promise<PublishedAnswer>
  remove(options?: SessionOptions): Promise<RemovedAnswer>
  /** Registers this peer in the subnet, or changes its class. @throws UsageError if the chain does not permit it, ChainError */
  register(nodeClass: NodeClass, options?: SessionOptions): Promise<RegistrationAnswer>
  unregister(options?: SessionOptions): Promise<RemovedAnswer>
}

/**
 * The interface of commands to a node, in this process or another. A `peer` is a peer ID, a multiaddr that ends in `/p2p/<peer ID>`, or an
 * alias; any other text is a UsageError. Calls throw a SubnetError or the reason of their signal.
 */
export interface Session {
  readonly aliases: AliasSession
  readonly chain: ChainSession
  readonly protocols: ProtocolSession
  id(options?: SessionOptions): Promise<IdAnswer>
  /** The settings of the running node; undefined for a node that uses the command's own settings. */
  settings(options?: SessionOptions): Promise<NodeSettingsAnswer | undefined>
  /** @throws NodeError NOT_RUNNING */
  status(options?: SessionOptions): Promise<StatusAnswer>
  /** The sums since the start of the node. @throws NodeError NOT_RUNNING */
  activity(options?: ActivityOptions): Promise<ActivityAnswer>
  /** Stops the running node, and waits until its home is free. @throws NodeError NOT_RUNNING */
  stop(options?: SessionOptions): Promise<StopAnswer>
  peers(options?: SessionOptions & { all?: boolean }): Promise<PeerRow[]>
  /** Yields the peers now and after each change, until the signal aborts. */
  watchPeers(options?: SessionOptions & { all?: boolean }): AsyncIterable<PeerRow[]>
  /** The events of the node, `ready` first, until the node stops or the signal aborts. @throws NodeError NOT_RUNNING */
  events(options?: EventsOptions): AsyncIterable<NodeEvent[]>
  resolve(
    peer: string,
    options?: SessionOptions & { tiers?: TierName[] | undefined; maxAgeMs?: number | undefined },
  ): Promise<ResolveAnswer>
  sendTask(peer: string, task: TaskInput, options?: SessionOptions): Promise<TaskAnswer>
  connect(multiaddr: string, options?: SessionOptions): Promise<ConnectAnswer>
  /** @throws NodeError NOT_RUNNING */
  disconnect(peer: string, options?: SessionOptions): Promise<DisconnectAnswer>
  ping(peer: string, options?: SessionOptions): Promise<PingAnswer>
  /** Yields the measurements so far; the last value is the result. @throws ProtocolError LIMIT_EXCEEDED for a size over the limit */
  bench(peer: string, plan: BenchPlan, options?: SessionOptions): AsyncIterable<BenchAnswer>
  close(): Promise<void>
}
