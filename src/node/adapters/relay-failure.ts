import { describeError } from '../../primitives/errors.ts'
import { DialFailure } from '../dial/dial-failure.ts'

/** Texts for the status codes of Circuit Relay v2. */
const ANSWERS: Record<string, string> = {
  NO_RESERVATION: 'the peer has no place there (any more)',
  PERMISSION_DENIED: 'it does not let this node call over it',
  RESOURCE_LIMIT_EXCEEDED: 'it has no room for another call now',
  RESERVATION_REFUSED: 'it has no room for another peer now',
  CONNECTION_FAILED: 'it did not reach the peer',
  MALFORMED_MESSAGE: 'it could not read the request',
  UNEXPECTED_MESSAGE: 'it did not expect the request',
}

/** Turns a library error about a relay into a `DialFailure` with a readable message. Returns other errors unchanged. */
export function relayFailure(cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof DialFailure) {
    return cause
  }
  const status = /with status (\w+)/.exec(cause.message)?.[1]
  if (status != null) {
    return new DialFailure('relay', `the relay answered ${status}: ${ANSWERS[status] ?? 'no reason that is known here'}`, { cause })
  }
  return cause.name === 'UnsupportedProtocolError'
    ? new DialFailure('relay', `that peer relays for nobody: ${describeError(cause)}`, { cause })
    : cause
}
