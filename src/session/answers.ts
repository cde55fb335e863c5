import type { Message } from '@bufbuild/protobuf'
import type { NodeClass, PeerRole } from '../chain/registry.ts'
import type * as control from '../gen/subnet/control/v1/control_pb.ts'
import type { Network } from '../node/network/network.ts'
import type { MappingProtocol, PortMappingStatus } from '../node/port-mapping/port-mapping.ts'
import type { DialBackReport, Verdict } from '../node/reachability/reachability.ts'
import type { ProtocolKind } from '../protocol/api/interceptor.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { AddressSource } from '../resolve/tier.ts'

// Each answer has the fields of its message in proto/subnet/control/v1, which documents them. A field added to a message is also added to
// its answer: the code that builds the answer does not compile until it sets the field.

/** A message as a plain object. An absent field is null. */
export type Plain<M> = {
  [Field in keyof M as Exclude<Field, keyof Message>]-?: undefined extends M[Field]
    ? PlainValue<NonNullable<M[Field]>> | null
    : PlainValue<M[Field]>
}

type PlainValue<Value> = Value extends Message ? Plain<Value> : Value extends Array<infer Item> ? Array<PlainValue<Item>> : Value

/**
 * A message as a plain object with more exact types for the fields in `Known`: the possible texts of a field, or a message that is never
 * absent. Protobuf cannot express these.
 */
type Answer<M, Known extends KnownOf<Plain<M>, Known>> = {
  [Field in keyof Plain<M>]: Field extends keyof Known ? Known[Field] : Plain<M>[Field]
}

type KnownOf<All, Known> = { [Field in keyof Known]: Field extends keyof All ? All[Field] : never }

type Direction = 'inbound' | 'outbound'

export type IdAnswer = Plain<control.IdResponse>

export type StopAnswer = Plain<control.StopResponse>

export type PeerRow = Answer<control.Peer, { direction: Direction | null; source: AddressSource; network: Network | null }>

export type ResolveAnswer = Answer<control.ResolveResponse, { source: AddressSource; attempts: Attempt[] }>

/** The outcome of a task, before its result. For a payload of unknown size, `bytesSent` counts the bytes sent so far. */
export type TaskHead = Answer<
  control.TaskAnswer,
  {
    source: AddressSource
    error: { code: 'TASK_REJECTED'; message: string } | null
    attempts: Attempt[]
    /** The times of the whole call; zeros until the result was read to its end. */
    timings: Plain<control.TaskAnswer_Timings>
  }
>

export interface TaskAnswer extends Omit<TaskHead, 'bytesReceived'> {
  /** Size of the result in bytes. If unknown in advance, undefined until the result was read to its end. */
  bytesReceived: number | undefined
  /** Must be read once, to its end. Throws the errors of the transfer. */
  result: AsyncIterable<Uint8Array>
}

export type ConnectAnswer = Answer<control.ConnectResponse, { direction: Direction }>

export type DisconnectAnswer = Plain<control.DisconnectResponse>

/** One round trip. */
export type PingAnswer = Answer<control.PingResponse, { source: AddressSource }>

/** The figures of many tasks to one peer. A rejection counts as an answer. */
export type BenchMeasurement = Plain<control.BenchResponse_Measurement>

/** The measurements so far; null for a measurement that has not begun. */
export type BenchAnswer = Answer<control.BenchResponse, { source: AddressSource; first: Plain<control.BenchResponse_First> }>

type ProblemCode = 'UNREACHABLE' | 'CHAIN_UNAVAILABLE' | 'NOT_ADMITTED' | 'LIMIT_EXCEEDED' | 'USAGE' | 'TIMEOUT'

/** A problem of a node. An `error` makes calls fail, and sets the exit code of `status`; a `warning` does not. */
export type StatusProblem = Answer<control.StatusResponse_Problem, { code: ProblemCode; severity: 'error' }> | StatusWarning

type StatusWarning = Answer<control.StatusResponse_Problem, { code: ProblemCode | 'CLOCK_OFF'; severity: 'warning' }>

/** The state of a running node. */
export type StatusAnswer = Answer<
  control.StatusResponse,
  {
    problems: StatusProblem[]
    network: Network
    reachability: Answer<
      control.StatusResponse_Reachability,
      {
        verdict: Verdict
        addresses: Array<Answer<control.StatusResponse_Reachability_Address, { verdict: Verdict; reports: DialBackReport[] }>>
      }
    >
    portMapping: Answer<control.StatusResponse_PortMapping, { status: PortMappingStatus; protocol: MappingProtocol | null }>
    connections: Plain<control.StatusResponse_Connections>
    places: Answer<control.StatusResponse_Places, { full: Array<'open' | 'pending'> }>
    heartbeats: Plain<control.StatusResponse_Heartbeats>
    tasks: Plain<control.StatusResponse_Tasks>
    book: Plain<control.StatusResponse_Book>
    chain: Plain<control.StatusResponse_Chain>
  }
>

/** The sums of a running node since its start. */
export type ActivityAnswer = Answer<
  control.ActivityResponse,
  {
    inbound: Plain<control.ActivityResponse_Tasks>
    outbound: Plain<control.ActivityResponse_Tasks>
    failures: Array<Answer<control.ActivityResponse_Failure, { direction: Direction }>>
    connections: Array<Answer<control.ActivityResponse_Connection, { direction: Direction }>>
  }
>

/** A peer's place in the subnet; null if the chain has none. */
interface KnownPlace {
  role: PeerRole | null
  class: NodeClass | null
}

export type PublishedAnswer = Plain<control.ChainPublishResponse>

/** When the chain was read: the block, and the time in Unix milliseconds. */
export type FreshnessAnswer = Pick<PublishedAnswer, 'block' | 'stale' | 'readAtMs'>

/** A peer's record on the chain. `multiaddrs` is empty for a peer that is registered without an address. */
export type ChainAnswer = Answer<control.ChainRecord, KnownPlace>

export type ChainListAnswer = Answer<control.ChainListResponse, { records: ChainAnswer[] }>

/** Everything on the chain about a peer. */
export type ChainPeerAnswer = Answer<
  control.ChainShowResponse,
  KnownPlace & { admission: Answer<control.ChainShowResponse_Admission, { minClass: NodeClass }> }
>

/** The information on the chain about a peer without an address there. */
export type ChainMiss = Answer<control.ChainMiss, KnownPlace>

export type RegistrationAnswer = Answer<control.ChainRegisterResponse, { class: NodeClass }>

/** Whether there was anything to remove. */
export type RemovedAnswer = Plain<control.ChainRemoveResponse>

/** A peer's description of one of its protocols. Unknown fields are null. */
export type ProtocolAnswer = Answer<control.Protocol, { kind: ProtocolKind | null }>

export type ProtocolsAnswer = Answer<
  control.ListProtocolsResponse,
  {
    /** `identify` if the peer tells only the protocol IDs. */
    source: 'reflection' | 'identify'
    protocols: ProtocolAnswer[]
  }
>

export type DescribedAnswer = Answer<control.DescribeProtocolResponse, { protocol: ProtocolAnswer }>

export type AliasAnswer = Plain<control.Alias>

/** A peer that matches a short form. */
export type FoundPeer = Plain<control.FoundPeer>

export type RemovedAliasAnswer = Plain<control.RemoveAliasResponse>
