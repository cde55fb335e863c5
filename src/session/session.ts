import type { NodeClass, PeerRole } from '../chain/registry.ts'
import type { Network } from '../node/network/network.ts'
import type { ProtocolKind } from '../protocol/api/interceptor.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { AddressSource, TierName } from '../resolve/tier.ts'

/** Every call takes these. The deadline covers the whole call. */
export interface SessionOptions {
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
}

/** Everything a running node tells, as `start --json` prints it. */
export type NodeEvent = { event: string; atMs: number } & Record<string, unknown>

export interface IdAnswer {
  peerId: string
  multiaddrs: string[]
}

export interface PeerRow {
  peerId: string
  alias: string | null
  connected: boolean
  direction: 'inbound' | 'outbound' | null
  latencyMs: number | null
  agent: string | null
  protocols: string[]
  multiaddrs: string[]
  source: AddressSource
  /** Unix time in milliseconds. */
  lastHeartbeatMs: number | null
  /** Null where it is not known. */
  network: Network | null
}

export interface ResolveAnswer {
  peerId: string
  multiaddrs: string[]
  source: AddressSource
  ageMs: number | null
  verified: boolean
  attempts: Attempt[]
}

export interface TaskInput {
  taskId: string
  /** Read only once the peer's name was understood, and not to its end when the call fails. */
  payload: AsyncIterable<Uint8Array>
  /** Of the payload, in bytes, where it is known. */
  size?: number | undefined
}

export interface TaskAnswer {
  taskId: string
  peerId: string
  source: AddressSource
  multiaddr: string
  accepted: boolean
  error: { code: 'TASK_REJECTED'; message: string } | null
  /** Of the payload; where nobody knows how many there are, those that were sent by now, and of the whole call once the result was read to its end. */
  bytesSent: number
  /** Of the result; where nobody knows how many there will be, undefined until it was read to its end. */
  bytesReceived: number | undefined
  attempts: Attempt[]
  /** Of the whole call: zeros until the result was read to its end. */
  timings: { resolveMs: number; dialMs: number; requestMs: number; totalMs: number }
  /** To be read once, to its end; what fails on the way is thrown there. */
  result: AsyncIterable<Uint8Array>
}

export interface ConnectAnswer {
  peerId: string
  multiaddr: string
  direction: 'inbound' | 'outbound'
}

export interface DisconnectAnswer {
  peerId: string
  /** How many connections were closed. */
  connections: number
}

/** One round trip. */
export interface PingAnswer {
  peerId: string
  source: AddressSource
  multiaddr: string
  roundTripMs: number
}

/** How much is measured. */
export interface BenchPlan {
  /** Of all measurements together, a third each, from 1 ms to 1 h. What runs when it is over is waited for. */
  durationMs: number
  /** Tasks of each measurement, at most: 1 to 1,000,000. */
  count: number
  /** Tasks at a time, where the rate is measured: 1 to 128. */
  concurrency: number
  /** Of a payload, where the transfer is measured: as much as a message of the node may carry. */
  sizeBytes: number
}

/** What many tasks to one peer took. A rejection is an answer too. */
export interface BenchMeasurement {
  /** Tasks at a time. */
  concurrency: number
  payloadBytes: number
  /** Tasks that were answered. */
  count: number
  /** Of those. */
  rejected: number
  elapsedMs: number
  tasksPerSecond: number
  p50Ms: number
  p90Ms: number
  p99Ms: number
  maxMs: number
  /** Payloads and results, in 1,000,000 bytes. */
  sentMbPerSecond: number
  receivedMbPerSecond: number
}

/** What was measured so far; null is what has not begun. */
export interface BenchAnswer {
  peerId: string
  source: AddressSource
  multiaddr: string
  /** The first task, which finds the peer; no measurement counts it. */
  first: { resolveMs: number; dialMs: number; requestMs: number }
  /** Small tasks, one at a time. */
  latency: BenchMeasurement | null
  /** Small tasks, many at a time. */
  rate: BenchMeasurement | null
  /** Large tasks, one at a time. */
  transfer: BenchMeasurement | null
  /** Why the first task that was rejected was; at most 1,000 characters. */
  rejection: string | null
}

type ProblemCode = 'UNREACHABLE' | 'CHAIN_UNAVAILABLE' | 'NOT_ADMITTED' | 'LIMIT_EXCEEDED' | 'USAGE' | 'TIMEOUT'

/** What is wrong with a node: an `error` makes calls fail, and gives `status` its exit code; a `warning` does not. */
export type StatusProblem =
  | { code: ProblemCode; severity: 'error'; message: string }
  | { code: ProblemCode | 'CLOCK_OFF'; severity: 'warning'; message: string }

/** What a running node knows of itself. */
export interface StatusAnswer {
  /** True when no problem is an error. */
  healthy: boolean
  problems: StatusProblem[]
  /** What its owner should know, though nothing is wrong with the node. */
  notices: string[]
  peerId: string
  multiaddrs: string[]
  subnetId: number
  network: Network
  home: string
  pid: number
  agent: string
  uptimeMs: number
  connections: { inbound: number; outbound: number }
  /**
   * Places for connections. `open` counts inbound and outbound connections, `pending` inbound handshakes, and `full` names the kinds that
   * reached their maximum. `largest` is the IPv4 address or IPv6 /64 with the most inbound connections. `turnedAway` counts connections
   * that were refused or cut in their handshake, `displaced` idle connections that were closed to make room.
   */
  places: {
    open: number
    maxOpen: number
    pending: number
    maxPending: number
    maxPerIp: number
    full: Array<'open' | 'pending'>
    largest: { ip: string; open: number; pending: number } | null
    turnedAway: number
    displaced: number
  }
  /** `intervalMs` is the one in use: longer than the configured one where peers are many. */
  heartbeats: { sent: number; received: number; lastReceivedAtMs: number | null; intervalMs: number }
  /** Answered for others (`running` includes `queued`: those that wait for a free child process), and sent to others. */
  tasks: {
    accepted: number
    rejected: number
    running: number
    queued: number
    sent: number
    sentAccepted: number
    sentRejected: number
    sentFailed: number
  }
  book: { peers: number; capacity: number }
  /** `block` is the newest seen, `endpoint` where the chain is read, `lagMs` the time since it was last heard. */
  chain: {
    url: string
    reachable: boolean
    block: number | null
    error: string | null
    endpoint: string
    lagMs: number | null
  }
}

/** When the chain said something: at which block, and in Unix milliseconds. */
export interface FreshnessAnswer {
  block: number
  /** The chain is away, and this is what it said last. */
  stale: boolean
  readAtMs: number
}

export interface PublishedAnswer extends FreshnessAnswer {
  peerId: string
  multiaddrs: string[]
  verified: boolean
}

/** A peer as the chain has it; `multiaddrs` is empty for one that is registered without an address. */
export interface ChainAnswer extends PublishedAnswer {
  /** Null where the chain has no roles. */
  role: PeerRole | null
  /** Null for a bootnode that the subnet's owner names. */
  nodeId: number | null
  class: NodeClass | null
}

export interface ChainListAnswer extends FreshnessAnswer {
  records: ChainAnswer[]
  /** How many peers of the subnet have no address. */
  withoutAddress: number
}

/** All that the chain knows of a peer. */
export interface ChainPeerAnswer extends ChainAnswer {
  /** The subnet's id on the chain, and its friendly id. */
  subnetId: number
  friendlyId: number | null
  /** The accounts of the peer's node; null where the chain has none. */
  hotkey: string | null
  coldkey: string | null
  /** Whether a node that requires this class would let the peer in. */
  admission: { minClass: NodeClass; admitted: boolean }
}

export interface RegistrationAnswer {
  peerId: string
  registered: boolean
  class: NodeClass
  block: number
}

/** What a peer says of one of its protocols. */
export interface ProtocolAnswer {
  /** The libp2p protocol id. */
  id: string
  /** Null, as the types, where that is not known. */
  kind: ProtocolKind | null
  /** The full names of the two messages, where they are protobuf. */
  requestType: string | null
  responseType: string | null
}

export interface ProtocolsAnswer {
  peerId: string
  /** `identify` where the peer tells nothing but the ids. */
  source: 'reflection' | 'identify'
  protocols: ProtocolAnswer[]
}

export interface DescribedAnswer {
  peerId: string
  protocol: ProtocolAnswer
  /** A google.protobuf.FileDescriptorSet, as the peer sent it. */
  fileDescriptorSet: Uint8Array | null
}

export interface CallInput {
  protocolId: string
  kind: ProtocolKind
  /** The message, encoded; read only once the peer's name was understood, and not to its end when the call fails. */
  request: AsyncIterable<Uint8Array>
}

export interface AliasAnswer {
  alias: string
  peerId: string
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
  remove(alias: string, options?: SessionOptions): Promise<{ alias: string; removed: boolean }>
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
  remove(options?: SessionOptions): Promise<{ peerId: string; removed: boolean }>
  /** Enters this peer in the subnet, or changes its class. @throws UsageError where the chain does not let us, ChainError */
  register(nodeClass: NodeClass, options?: SessionOptions): Promise<RegistrationAnswer>
  unregister(options?: SessionOptions): Promise<{ peerId: string; removed: boolean }>
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
  /** Tells the running node to stop, and waits until its home is free. @throws NodeError NOT_RUNNING */
  stop(options?: SessionOptions): Promise<{ peerId: string; pid: number }>
  peers(options?: SessionOptions & { all?: boolean }): Promise<PeerRow[]>
  /** The peers now, and again whenever something about them changed, until the signal aborts. */
  watchPeers(options?: SessionOptions & { all?: boolean }): AsyncIterable<PeerRow[]>
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
