import { ProtocolError } from '../api/errors.ts'
import { ConnectionLostError, type ProtocolHost } from '../api/host.ts'
import { ACTED, type CallProgress } from './call-progress.ts'

/**
 * A call that broke before its first answer may have been cut by a peer that does not let this node in: the peer is asked.
 * @param cause what broke the call
 * @param failure the same as its caller would get it
 * @returns what the caller gets instead; undefined where the peer does let this node in, or does not say
 */
export async function refusalBehind(
  host: Pick<ProtocolHost, 'refusalOf'>,
  progress: CallProgress,
  cause: unknown,
  failure: unknown,
): Promise<ProtocolError | undefined> {
  if (!broke(cause) || progress.reached == null || progress.bytesReceived > 0) {
    return undefined
  }
  const { connection } = progress.reached
  const reason = await host.refusalOf(connection)
  if (reason == null) {
    return undefined
  }
  // a peer that says why on this connection has let nothing through; one that ended it may have let this node in until then
  const mayHaveActed = connection.status !== 'open' && failure instanceof ProtocolError && failure.mayHaveActed
  const message = `${connection.remotePeer.toString()} does not let this peer in: ${reason}`
  return new ProtocolError('NOT_ADMITTED', mayHaveActed ? `${message}; ${ACTED}` : message, {
    cause,
    phase: mayHaveActed ? 'wait' : 'negotiate',
    mayHaveActed,
    hint: 'a subnet may require registration: "subnet chain lookup <peer ID>" shows whether it has this peer, "subnet chain register" registers it where the chain lets us',
  })
}

/** The connection or the stream of a call ended. A dial that failed is none of these. */
function broke(cause: unknown): boolean {
  return (
    cause instanceof ConnectionLostError ||
    (cause instanceof ProtocolError && (cause.code === 'REMOTE_FAILED' || (cause.code === 'UNREACHABLE' && cause.phase == null)))
  )
}
