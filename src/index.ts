/** Direct peer-to-peer calls in a subnet: make a node, construct protocols with it, call peers by their IDs. */
export { ChainError, type ChainOptions, type ChainRecord, type ChainRegistry } from './chain/registry.ts'
export { type CreateNodeOptions, createNode } from './node/create-node.ts'
export type { KnownPeer, NodeEvents, Resolved, SubnetNode } from './node/subnet-node.ts'
export { type ErrorCode, EXIT_CODES, SubnetError, UsageError } from './primitives/errors.ts'
export { type CallPhase, ProtocolError, type ProtocolErrorCode } from './protocol/errors.ts'
export { DEFAULT_LIMITS, type ProtocolLimits } from './protocol/limits.ts'
export { ProtobufProtocol, type ProtobufProtocolInit } from './protocol/protobuf-protocol.ts'
export {
  type CallOptions,
  type CallReport,
  type Destination,
  ProtocolBase,
  type ProtocolHost,
  type RequestContext,
} from './protocol/protocol-base.ts'
export { type Task, type TaskEvent, type TaskHandler, TaskProtocol } from './protocol/protocols/task.ts'
export { type Attempt, type Outcome, ResolveError, type ResolveErrorCode } from './resolve/errors.ts'
export type { ResolveOptions } from './resolve/resolver.ts'
export type { AddressSource, Candidate, FindOptions, Tier, TierName } from './resolve/tier.ts'
