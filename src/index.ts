/** Direct peer-to-peer calls in a subnet: create a node, construct protocols on it, and call peers by their IDs. */
export type { PeerId } from '@libp2p/interface'
export type { Multiaddr } from '@multiformats/multiaddr'
export { type HypertensorInit, type HypertensorOptions, HypertensorRegistry } from './chain/drivers/hypertensor.ts'
export { type LedgerInit, LedgerRegistry } from './chain/drivers/ledger.ts'
export {
  type ChainChange,
  type ChainDescription,
  ChainError,
  type ChainListing,
  type ChainOptions,
  type ChainRecord,
  type ChainRegistry,
  type ChainSigner,
  type ChainState,
  type Freshness,
  NODE_CLASSES,
  type NodeClass,
  NoSubnetError,
  type PeerRole,
  type PublishedRecord,
  type PublishOptions,
  type PublishPlan,
  type PublishReceipt,
  type Registration,
} from './chain/registry.ts'
export type { TaskRequest, TaskResponse } from './gen/task_protocol_pb.ts'
export type { AddressOrigin, BookEntry, PeerState } from './gossip/book-entry.ts'
export type { HeartbeatEvent } from './gossip/heard.ts'
export type { HeartbeatCounts } from './gossip/heartbeat.ts'
export { type CreateNodeOptions, createNode, type NodeTransport } from './node/create-node.ts'
export type { NetworkInterfaces } from './node/dial/dial-policy.ts'
export type { Alias, Aliases } from './node/home/aliases.ts'
export type { RawSettings, SettingName, Settings } from './node/home/config.ts'
export { NodeError } from './node/home/errors.ts'
export type { ObservedEvents, RefusalEvent, ResolutionEvent } from './node/observed-events.ts'
export type { KnownPeer } from './node/peers.ts'
export type { MappedAddress, MappingProtocol, PortMapping, PortMappingStatus } from './node/port-mapping/port-mapping.ts'
export type { Resolved } from './node/reach.ts'
export type { AddressReachability, DialBackOutcome, DialBackReport, Reachability, Verdict } from './node/reachability/reachability.ts'
export type { StackTransport } from './node/stack/create-libp2p.ts'
export type { PlacesState } from './node/stack/places.ts'
export type { RelayState } from './node/stack/relay-server.ts'
export type { NodeEvents, NodeStats, SubnetNode } from './node/subnet-node.ts'
export { LOG_LEVELS, LOG_SCOPES, type LogLevel, type LogScope } from './observe/log-filter.ts'
export type { LogFields } from './observe/log-format.ts'
export type { Logger, Tell } from './observe/logger.ts'
export type {
  Counter,
  GaugeOptions,
  Histogram,
  HistogramOptions,
  InstrumentOptions,
  Labelled,
  Labels,
  Measured,
  Metrics,
} from './observe/metrics.ts'
export { NAMED_OVER, type NamedOver } from './primitives/address-kind.ts'
export type { DatabaseError, DatabaseFile } from './primitives/database-error.ts'
export { type ErrorCode, EXIT_CODES, SubnetError, type SubnetErrorOptions, UsageError } from './primitives/errors.ts'
export { type CallPhase, ProtocolError, type ProtocolErrorCode, type ProtocolErrorOptions } from './protocol/api/errors.ts'
export type { EndedExchange, ExchangeObserver } from './protocol/api/exchange-observer.ts'
export type { Destination, MessageSchemas, ProtocolHandler, ProtocolHost, Reached, ReachOptions } from './protocol/api/host.ts'
export type { Answer, Exchange, Interceptor, Next, ProtocolKind, StreamedAnswer, UnaryAnswer } from './protocol/api/interceptor.ts'
export { type ByteBudget, DEFAULT_LIMITS, type ProtocolLimits, type Release } from './protocol/api/limits.ts'
export type { Body, IncomingMessage, MessageInParts } from './protocol/api/message-in-parts.ts'
export { type DescribedProtocol, type ProtocolDescription, ReflectionCaller } from './protocol/builtin/reflection.ts'
export {
  type StreamedTask,
  type StreamedTaskResponse,
  type StreamingTaskHandler,
  type Task,
  type TaskEvent,
  type TaskHandler,
  TaskProtocol,
  type TaskProtocolOptions,
} from './protocol/builtin/task.ts'
export { REJECTION_REASONS, type RejectionReason, TaskRejection, type TaskRejectionOptions } from './protocol/builtin/task-rejection.ts'
export type { BegunCall, CallOptions, CallReport, StreamCallOptions } from './protocol/call/call-options.ts'
export { type Codec, type Collect, protobufCodec, type WholeCodec } from './protocol/message/codec.ts'
export { type StreamedInit, type StreamedMessage, streamedCodec } from './protocol/message/streamed-codec.ts'
export { ProtobufProtocol, type ProtobufProtocolInit, ProtobufStreamingProtocol } from './protocol/protobuf-protocol.ts'
export { ProtocolBase, type ProtocolInit } from './protocol/protocol-base.ts'
export type { RequestContext } from './protocol/serve/incoming-request.ts'
export { type Attempt, type Outcome, ResolveError, type ResolveErrorCode } from './resolve/errors.ts'
export type { ResolveOptions } from './resolve/resolver.ts'
export { type AddressSource, type Candidate, type FindOptions, TIER_NAMES, type Tier, type TierName } from './resolve/tier.ts'
