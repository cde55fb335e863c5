import type { DescField, DescMessage, Message, MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import { AttemptSchema, ChainMissSchema, type Failure, FailureSchema } from '../../gen/subnet/control/v1/control_pb.ts'
import { isDeadline } from '../../primitives/deadline.ts'
import { describeError, type ErrorCode, EXIT_CODES, machineFailure, SubnetError, textOf, UsageError } from '../../primitives/errors.ts'
import { type Attempt, ResolveError, type ResolveErrorCode } from '../../resolve/errors.ts'
import { ChainLookupError, type ChainMiss } from '../chain-lookup-error.ts'

/** Chunks of a payload or a result, at most. */
export const CHUNK_BYTES = 256 * 1024

/** The longest that a timer of Node can wait: a longer one goes off at once. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1

const CODES: Partial<Record<ErrorCode, Code>> = {
  USAGE: Code.InvalidArgument,
  PEER_NOT_FOUND: Code.NotFound,
  UNREACHABLE: Code.Unavailable,
  PROTOCOL_UNSUPPORTED: Code.Unimplemented,
  TIMEOUT: Code.DeadlineExceeded,
  REMOTE_FAILED: Code.Aborted,
  LIMIT_EXCEEDED: Code.ResourceExhausted,
  CHAIN_UNAVAILABLE: Code.Unavailable,
  NOT_ADMITTED: Code.PermissionDenied,
  NOT_RUNNING: Code.FailedPrecondition,
}

/** An error of the node, as the one that reads it needs it. */
class RemoteError extends SubnetError {
  override readonly name = 'RemoteError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, hint: string | undefined) {
    super(message, { hint })
    this.code = code
  }
}

/** What a call threw, as it goes over the control socket. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) {
    return error
  }
  const failure = toFailure(error)
  const details = [{ desc: FailureSchema, value: failure }]
  return new ConnectError(failure.message, CODES[failure.code] ?? Code.Internal, undefined, details, error)
}

/** @throws UsageError */
export function checkTimeout(timeoutMs: number | undefined): number | undefined {
  if (timeoutMs != null && !(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new UsageError(`timeoutMs: ${timeoutMs} is not valid; expected more than 0, and at most ${MAX_TIMEOUT_MS}`)
  }
  return timeoutMs
}

/** What was thrown, in a message. */
export function toFailure(error: unknown): MessageInitShape<typeof FailureSchema> & { code: ErrorCode; message: string } {
  const failure = machineFailure(error)
  if (failure != null) {
    return toFailure(failure)
  }
  const known = error instanceof SubnetError
  const code = known ? error.code : isDeadline(error) ? 'TIMEOUT' : 'INTERNAL'
  const attempts = known && 'attempts' in error ? (error.attempts as Attempt[]) : undefined
  // absent fields are null there, and nothing in a message
  const miss = error instanceof ChainLookupError ? { chainMiss: error.details as MessageInitShape<typeof ChainMissSchema> } : {}
  const hint = known && error.hint != null ? { hint: error.hint } : {}
  return {
    code,
    message: code === 'INTERNAL' ? textOf(error) : describeError(error),
    attempts: attempts ?? [],
    resolution: attempts != null,
    ...hint,
    ...miss,
  }
}

/** The error that a call of the node threw; undefined when the node did not tell one. */
export function fromConnectError(error: ConnectError): SubnetError | undefined {
  const failure = error.findDetails(FailureSchema)[0]
  return failure == null ? undefined : fromFailure(failure)
}

/** The error that a message tells of. */
export function fromFailure({ code, message, hint, attempts, resolution, chainMiss }: Failure): SubnetError {
  if (chainMiss != null) {
    return new ChainLookupError(message, toPlain<ChainMiss>(ChainMissSchema, chainMiss), hint)
  }
  if (resolution) {
    const plain = attempts.map((attempt) => toPlain<Attempt>(AttemptSchema, attempt))
    return new ResolveError(code as ResolveErrorCode, message, plain, { hint })
  }
  return new RemoteError(Object.hasOwn(EXIT_CODES, code) ? (code as ErrorCode) : 'INTERNAL', message, hint)
}

/** A message as a plain object; a field that is absent is null. @param schema the message's */
export function toPlain<Answer>(schema: DescMessage, message: Message): Answer {
  const values = message as unknown as Record<string, unknown>
  return Object.fromEntries(schema.fields.map((field) => [field.localName, plainValue(field, values[field.localName])])) as Answer
}

function plainValue(field: DescField, value: unknown): unknown {
  const { message: schema } = field
  if (value == null || schema == null) {
    return value ?? null
  }
  return Array.isArray(value) ? value.map((item: Message) => toPlain(schema, item)) : toPlain(schema, value as Message)
}
