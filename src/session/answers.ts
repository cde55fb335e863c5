import type { Message } from '@bufbuild/protobuf'
import type { NodeClass, PeerRole } from '../chain/registry.ts'
import type * as control from '../gen/subnet/control/v1/control_pb.ts'
import type { Network } from '../node/network/network.ts'
import type { MappingProtocol, PortMappingStatus } from '../node/port-mapping/port-mapping.ts'
import type { DialBackReport, Verdict } from '../node/reachability/reachability.ts'
import type { ProtocolKind } from '../protocol/api/interceptor.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { AddressSource } from '../resolve/tier.ts'

// Every answer is made of its message in proto/subnet/control/v1, which says what the fields are. A field that is added there is a field of the answer
// at once: whoever makes such answers does not compile before the field is filled in.

/** A message as a plain object: a field that is absent is null. */
export type Plain<M> = {
  [Field in keyof M as Exclude<Field, keyof Message>]-?: undefined extends M[Field]
    ? PlainValue<NonNullable<M[Field]>> | null
    : PlainValue<M[Field]>
}

type PlainValue<Value> = Value extends Message ? Plain<Value> : Value extends Array<infer Item> ? Array<PlainValue<Item>> : Value

/** A message as a plain object, where more is `Known` of some fields than protobuf can say: which texts there are, and which messages are never absent. */
type Answer<M, Known extends KnownOf<Plain<M>, Known>> = {
  [Field in keyof Plain<M>]: Field extends keyof Known ? Known[Field] : Plain<M>[Field]
}

type KnownOf<All, Known> = { [Field in keyof Known]: Field extends keyof All ? All[Field] : never }

type Direction = 'inbound' | 'outbound'

export type IdAnswer = Plain<control.IdResponse>

export type StopAnswer = Plain<control.StopResponse>

export type PeerRow = Answer<control.Peer, { direction: Direction | null; source: AddressSource; network: Network | null }>

export type ResolveAnswer = Answer<control.ResolveResponse, { source: AddressSource; attempts: Attempt[] }>

/** How a task ended, before its result. `bytesSent` counts what was sent by now where nobody knows how large the payload is. */
export type TaskHead = Answer<
  control.TaskAnswer,
  {
    source: AddressSource
    error: { code: 'TASK_REJECTED'; message: string } | null
    attempts: Attempt[]
    /** Of the whole call: zeros until the result was read to its end. */
    timings: Plain<control.TaskAnswer_Timings>
  }
>

export interface TaskAnswer extends Omit<TaskHead, 'bytesReceived'> {
  /** Of the result; where nobody knows how many there will be, undefined until it was read to its end. */
  bytesReceived: number | undefined
  /** To be read once, to its end; what fails on the way is thrown there. */
  result: AsyncIterable<Uint8Array>
}

export type ConnectAnswer = Answer<control.ConnectResponse, { direction: Direction }>

export type DisconnectAnswer = Plain<control.DisconnectResponse>

/** One round trip. */
export type PingAnswer = Answer<control.PingResponse, { source: AddressSource }>

/** What many tasks to one peer took. A rejection is an answer too. */
export type BenchMeasurement = Plain<control.BenchResponse_Measurement>

/** What was measured so far; null is what has not begun. */
export type BenchAnswer = Answer<control.BenchResponse, { source: AddressSource; first: Plain<control.BenchResponse_First> }>

type ProblemCode = 'UNREACHABLE' | 'CHAIN_UNAVAILABLE' | 'NOT_ADMITTED' | 'LIMIT_EXCEEDED' | 'USAGE' | 'TIMEOUT'

/** What is wrong with a node: an `error` makes calls fail, and gives `status` its exit code; a `warning` does not. */
export type StatusProblem = Answer<control.StatusResponse_Problem, { code: ProblemCode; severity: 'error' }> | StatusWarning

type StatusWarning = Answer<control.StatusResponse_Problem, { code: ProblemCode | 'CLOCK_OFF'; severity: 'warning' }>

/** What a running node knows of itself. */
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

/** Sums of a running node since it started. */
export type ActivityAnswer = Answer<
  control.ActivityResponse,
  {
    inbound: Plain<control.ActivityResponse_Tasks>
    outbound: Plain<control.ActivityResponse_Tasks>
    failures: Array<Answer<control.ActivityResponse_Failure, { direction: Direction }>>
    connections: Array<Answer<control.ActivityResponse_Connection, { direction: Direction }>>
  }
>

/** What is known of a peer's place in the subnet; null where the chain has none. */
interface KnownPlace {
  role: PeerRole | null
  class: NodeClass | null
}

export type PublishedAnswer = Plain<control.ChainPublishResponse>

/** When the chain said something: at which block, and in Unix milliseconds. */
export type FreshnessAnswer = Pick<PublishedAnswer, 'block' | 'stale' | 'readAtMs'>

/** A peer as the chain has it; `multiaddrs` is empty for one that is registered without an address. */
export type ChainAnswer = Answer<control.ChainRecord, KnownPlace>

export type ChainListAnswer = Answer<control.ChainListResponse, { records: ChainAnswer[] }>

/** All that the chain knows of a peer. */
export type ChainPeerAnswer = Answer<
  control.ChainShowResponse,
  KnownPlace & { admission: Answer<control.ChainShowResponse_Admission, { minClass: NodeClass }> }
>

/** What the chain has of a peer that has no address there. */
export type ChainMiss = Answer<control.ChainMiss, KnownPlace>

export type RegistrationAnswer = Answer<control.ChainRegisterResponse, { class: NodeClass }>

/** Whether something was there to be removed. */
export type RemovedAnswer = Plain<control.ChainRemoveResponse>

/** What a peer says of one of its protocols; null is what is not known. */
export type ProtocolAnswer = Answer<control.Protocol, { kind: ProtocolKind | null }>

export type ProtocolsAnswer = Answer<
  control.ListProtocolsResponse,
  {
    /** `identify` where the peer tells nothing but the ids. */
    source: 'reflection' | 'identify'
    protocols: ProtocolAnswer[]
  }
>

export type DescribedAnswer = Answer<control.DescribeProtocolResponse, { protocol: ProtocolAnswer }>

export type AliasAnswer = Plain<control.Alias>

/** A peer that a short form may stand for. */
export type FoundPeer = Plain<control.FoundPeer>

export type RemovedAliasAnswer = Plain<control.RemoveAliasResponse>
