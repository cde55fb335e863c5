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

/** Every call takes these. The deadline covers the whole call. */
export interface SessionOptions {
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
}

/** Everything a running node tells, as `start --json` prints it. */
export type NodeEvent = { event: string; atMs: number } & Record<string, unknown>

/** Which events of a node, and from when on. */
export interface EventsOptions extends SessionOptions {
  /** Kinds of events, or the word before the colon of some. Without any, all. */
  types?: readonly string[]
  /** First those of the last so many milliseconds that the node has kept. */
  sinceMs?: number | undefined
  /** Called where the node is of an earlier version: it tells less, and has kept nothing. */
  onOlder?: (() => void) | undefined
}

export interface ActivityOptions extends SessionOptions {
  /** Called where the node is of an earlier version: it does not tell bytes, tiers, and whose tasks they were. */
  onOlder?: (() => void) | undefined
}

export interface TaskInput {
  taskId: string
  /** Read only once the peer's name was understood, and not to its end when the call fails. */
  payload: AsyncIterable<Uint8Array>
  /** Of the payload, in bytes, where it is known. */
  size?: number | undefined
}

/** How much is measured. */
export interface BenchPlan extends Omit<Plain<BenchRequest>, 'peer' | 'timeoutMs'> {
  /** Of all measurements together, a third each, from 1 ms to 1 h. What runs when it is over is waited for. */
  durationMs: number
  /** Tasks of each measurement, at most: 1 to 1,000,000. */
  count: number
  /** Tasks at a time, where the rate is measured: 1 to 128. */
  concurrency: number
  /** Of a payload, where the transfer is measured: as much as a message of the node may carry. */
  sizeBytes: number
}

export interface CallInput {
  protocolId: string
  kind: ProtocolKind
  /** The message, encoded; read only once the peer's name was understood, and not to its end when the call fails. */
  request: AsyncIterable<Uint8Array>
}

/** The settings that a command may name too, as they can be compared: paths absolute. */
export interface NodeSettingsAnswer {
  bootstrap: string[]
  subnetId: number
  network: Network
  chain: string
  key: string
  maxFrameBytes: number
}

/** Names for peers. They belong to the home, whether a node runs or not. */
export interface AliasSession {
  /** @throws UsageError for a name that is none, or could be taken for something else */
  set(alias: string, peer: string, options?: SessionOptions): Promise<AliasAnswer>
  list(options?: SessionOptions): Promise<AliasAnswer[]>
  remove(alias: string, options?: SessionOptions): Promise<RemovedAliasAnswer>
  /**
   * The peers that a short form of a peer ID may stand for: connected ones, this one, those with an alias and those of the address book, at most 20. Where an
   * alias has this name, its peer alone. No other call takes a short form: an attacker can make keys until one fits.
   */
  find(shortForm: string, options?: SessionOptions): Promise<FoundPeer[]>
}

/** Protocols of other peers, whichever they are. */
export interface ProtocolSession {
  list(peer: string, options?: SessionOptions): Promise<ProtocolsAnswer>
  /** @throws ProtocolError PROTOCOL_UNSUPPORTED for a protocol that the peer does not speak, or where it does not tell of its protocols */
  describe(peer: string, protocolId: string, options?: SessionOptions): Promise<DescribedAnswer>
  /** Asks; gives the encoded answers as they come. Nothing happens before the first is asked for. */
  call(peer: string, input: CallInput, options?: SessionOptions): AsyncIterable<Uint8Array>
}

export interface ChainSession {
  /** @throws ChainLookupError for a peer without an address, ChainError */
  lookup(peer: string, options?: SessionOptions): Promise<ChainAnswer>
  /** Peers with addresses; with `all` also those that are registered without one. */
  list(options?: SessionOptions & { all?: boolean }): Promise<ChainListAnswer>
  /** Without a peer, this one. @throws ChainLookupError for a peer that the chain does not know, ChainError */
  show(peer: string | undefined, options?: SessionOptions): Promise<ChainPeerAnswer>
  /** Without addresses, those of the node that runs in this home. */
  publish(multiaddrs: string[], options?: SessionOptions): Promise<PublishedAnswer>
  remove(options?: SessionOptions): Promise<RemovedAnswer>
  /** Enters this peer in the subnet, or changes its class. @throws UsageError where the chain does not let us, ChainError */
  register(nodeClass: NodeClass, options?: SessionOptions): Promise<RegistrationAnswer>
  unregister(options?: SessionOptions): Promise<RemovedAnswer>
}

/**
 * What commands ask. They cannot tell whether the node is in this process or elsewhere. A `peer` is a peer ID, a multiaddr that ends
 * in `/p2p/<peer ID>`, or an alias; anything else is a UsageError. What a call throws is a SubnetError, or the reason of its signal.
 */
export interface Session {
  readonly aliases: AliasSession
  readonly chain: ChainSession
  readonly protocols: ProtocolSession
  id(options?: SessionOptions): Promise<IdAnswer>
  /** Of the node that runs; undefined where the command's own settings are the node's. */
  settings(options?: SessionOptions): Promise<NodeSettingsAnswer | undefined>
  /** @throws NodeError NOT_RUNNING */
  status(options?: SessionOptions): Promise<StatusAnswer>
  /** Sums since the node started. @throws NodeError NOT_RUNNING */
  activity(options?: ActivityOptions): Promise<ActivityAnswer>
  /** Tells the running node to stop, and waits until its home is free. @throws NodeError NOT_RUNNING */
  stop(options?: SessionOptions): Promise<StopAnswer>
  peers(options?: SessionOptions & { all?: boolean }): Promise<PeerRow[]>
  /** The peers now, and again whenever something about them changed, until the signal aborts. */
  watchPeers(options?: SessionOptions & { all?: boolean }): AsyncIterable<PeerRow[]>
  /** What the node tells, until it stops or the signal aborts; `ready` first. @throws NodeError NOT_RUNNING */
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
  /** What was measured so far, again and again; the last is the result. @throws ProtocolError LIMIT_EXCEEDED for a size over the limit */
  bench(peer: string, plan: BenchPlan, options?: SessionOptions): AsyncIterable<BenchAnswer>
  close(): Promise<void>
}
