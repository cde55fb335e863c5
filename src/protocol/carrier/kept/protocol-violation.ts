import { ProtocolError } from '../../api/errors.ts'

/** What ends the kept stream of a peer that does not keep to the protocol. */
export function protocolViolation(what: string): ProtocolError {
  return new ProtocolError('REMOTE_FAILED', `the peer ${what}`)
}
