import { describeError } from '../../primitives/errors.ts'
import { DialFailure } from '../dial/dial-failure.ts'

/** Texts for the status codes of Circuit Relay v2. */
const ANSWERS: Record<string, string> = {
  NO_RESERVATION: 'the peer has no reservation at the relay (any more)',
  PERMISSION_DENIED: 'this node may not connect through the relay',
  RESOURCE_LIMIT_EXCEEDED: 'the relay has no room for another connection now',
  RESERVATION_REFUSED: 'the relay granted no reservation',
  CONNECTION_FAILED: 'the relay did not reach the peer',
  MALFORMED_MESSAGE: 'the relay could not read the request',
  UNEXPECTED_MESSAGE: 'the relay did not expect the request',
}

/** Turns a library error about a relay into a `DialFailure` with a readable message. Returns other errors unchanged. */
export function relayFailure(cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof DialFailure) {
    return cause
  }
  const status = /with status (\w+)/.exec(cause.message)?.[1]
  if (status != null) {
    return new DialFailure('relay', `the relay answered ${status}: ${ANSWERS[status] ?? 'unknown status'}`, { cause })
  }
  return cause.name === 'UnsupportedProtocolError'
    ? new DialFailure('relay', `the peer is not a relay: ${describeError(cause)}`, { cause })
    : cause
}
