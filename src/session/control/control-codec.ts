import type { DescField, DescMessage, Message, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import { AttemptSchema, ChainMissSchema, type Failure, FailureSchema } from '../../gen/subnet/control/v1/control_pb.ts'
import { isDeadline } from '../../primitives/deadline.ts'
import { describeError, type ErrorCode, EXIT_CODES, machineFailure, SubnetError, textOf, UsageError } from '../../primitives/errors.ts'
import { type Attempt, ResolveError, type ResolveErrorCode } from '../../resolve/errors.ts'
import type { ChainMiss, Plain } from '../answers.ts'
import { ChainLookupError } from '../chain-lookup-error.ts'

/** The maximum delay of a Node timer, in milliseconds; a longer delay fires at once. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** Connect's code for each error code, for clients that do not decode `Failure`. */
const CODES = {
  INTERNAL: Code.Internal,
  USAGE: Code.InvalidArgument,
  PEER_NOT_FOUND: Code.NotFound,
  UNREACHABLE: Code.Unavailable,
  PROTOCOL_UNSUPPORTED: Code.Unimplemented,
  TIMEOUT: Code.DeadlineExceeded,
  TASK_REJECTED: Code.Internal,
  REMOTE_FAILED: Code.Aborted,
  LIMIT_EXCEEDED: Code.ResourceExhausted,
  CHAIN_UNAVAILABLE: Code.Unavailable,
  ALREADY_RUNNING: Code.Internal,
  NOT_ADMITTED: Code.PermissionDenied,
  NOT_RUNNING: Code.FailedPrecondition,
} satisfies Record<ErrorCode, Code>

/** The error codes of failed resolutions. */
const RESOLVE_CODES = {
  PEER_NOT_FOUND: true,
  UNREACHABLE: true,
  NOT_ADMITTED: true,
  CHAIN_UNAVAILABLE: true,
} satisfies Record<ResolveErrorCode, true>

/** An error received from the node. */
class RemoteError extends SubnetError {
  override readonly name = 'RemoteError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, hint: string | undefined) {
    super(message, { hint })
    this.code = code
  }
}

/** Converts a call's error for the control socket. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) {
    return error
  }
  const failure = toFailure(error)
  const details = [{ desc: FailureSchema, value: failure }]
  return new ConnectError(failure.message, CODES[failure.code], undefined, details, error)
}

/** @throws UsageError */
export function checkTimeout(timeoutMs: number | undefined): number | undefined {
  if (timeoutMs != null && !(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new UsageError(`timeoutMs: ${timeoutMs} is not valid; expected more than 0, and at most ${MAX_TIMEOUT_MS}`)
  }
  return timeoutMs
}

/** Converts an error to a message. */
export function toFailure(error: unknown): MessageInitShape<typeof FailureSchema> & { code: ErrorCode; message: string } {
  const failure = machineFailure(error)
  if (failure != null) {
    return toFailure(failure)
  }
  const known = error instanceof SubnetError
  const code = known ? error.code : isDeadline(error) ? 'TIMEOUT' : 'INTERNAL'
  const attempts = known && 'attempts' in error ? (error.attempts as Attempt[]) : undefined
  const miss = error instanceof ChainLookupError ? { chainMiss: toMessage(ChainMissSchema, error.details) } : {}
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

/** The node's error behind a call's failure; undefined if the node did not report one. */
export function fromConnectError(error: ConnectError): SubnetError | undefined {
  const failure = error.findDetails(FailureSchema)[0]
  return failure == null ? undefined : fromFailure(failure)
}

/** True if a node of an earlier version lacks the method. A node with the method reports a `Failure`. */
export function isUnknownMethod(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unimplemented && fromConnectError(error) == null
}

/** Converts a message back to an error. */
export function fromFailure({ code, message, hint, attempts, resolution, chainMiss }: Failure): SubnetError {
  if (chainMiss != null) {
    return new ChainLookupError(message, toPlain<typeof ChainMissSchema, ChainMiss>(ChainMissSchema, chainMiss), hint)
  }
  if (resolution && isResolveCode(code)) {
    const plain = attempts.map((attempt) => toPlain<typeof AttemptSchema, Attempt>(AttemptSchema, attempt))
    return new ResolveError(code, message, plain, { hint })
  }
  return new RemoteError(isErrorCode(code) ? code : 'INTERNAL', message, hint)
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(EXIT_CODES, code)
}

function isResolveCode(code: string): code is ResolveErrorCode {
  return Object.hasOwn(RESOLVE_CODES, code)
}

/** Converts a message to a plain object; absent fields become null. An answer with missing or additional fields does not compile. */
export function toPlain<Schema extends DescMessage, Found extends Exactly<Plain<MessageShape<Schema>>, Found>>(
  schema: Schema,
  message: MessageShape<Schema>,
): Found {
  return plainOf(schema, message) as Found
}

/** `All` without additional fields. */
export type Exactly<All, Found> = All & { [Field in Exclude<keyof Found, keyof All>]: never }

function plainOf({ fields }: DescMessage, message: Message): object {
  const values = new Map<string, unknown>(Object.entries(message))
  return Object.fromEntries(fields.map((field) => [field.localName, plainValue(field, values.get(field.localName))]))
}

function plainValue({ message: schema }: DescField, value: unknown): unknown {
  if (value == null || schema == null) {
    return value ?? null
  }
  return Array.isArray(value) ? value.map((item) => plainOf(schema, item)) : plainOf(schema, value as Message)
}

/** Converts a plain object with all fields to a message; `create` accepts null for an absent field. */
export function toMessage<Schema extends DescMessage>(_schema: Schema, plain: Plain<MessageShape<Schema>>): MessageInitShape<Schema> {
  return plain as unknown as MessageInitShape<Schema>
}
