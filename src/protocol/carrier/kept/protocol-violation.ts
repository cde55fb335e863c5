import { ProtocolError } from '../../api/errors.ts'

/** Creates the error for a peer's protocol violation. It ends the kept stream. */
export function protocolViolation(what: string): ProtocolError {
  return new ProtocolError('REMOTE_FAILED', `the peer ${what}`)
}
