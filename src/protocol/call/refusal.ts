import { ProtocolError } from '../api/errors.ts'
import { ConnectionLostError, type ProtocolHost } from '../api/host.ts'
import { ACTED, type CallProgress } from './call-progress.ts'

/**
 * Finds out whether a call failed because the peer refuses this node. If a call broke before its first response, the peer is asked.
 * @param cause the reason of the failure
 * @param failure the error that the caller would get
 * @returns the error for the caller instead. Undefined if the peer admits this node or gives no answer
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
  // a peer that answers on this connection processed no request; if the connection is closed, the peer may have admitted this node before
  const mayHaveActed = connection.status !== 'open' && failure instanceof ProtocolError && failure.mayHaveActed
  const message = `${connection.remotePeer.toString()} does not let this node in: ${reason}`
  return new ProtocolError('NOT_ADMITTED', mayHaveActed ? `${message}; ${ACTED}` : message, {
    cause,
    phase: mayHaveActed ? 'wait' : 'negotiate',
    mayHaveActed,
    hint: 'the subnet may require registration: "subnet chain lookup <peer ID>" shows whether this node is registered, "subnet chain register" registers it where the chain allows it',
  })
}

/** True if the connection or the stream of a call ended. False for a failed dial. */
function broke(cause: unknown): boolean {
  return (
    cause instanceof ConnectionLostError ||
    (cause instanceof ProtocolError && (cause.code === 'REMOTE_FAILED' || (cause.code === 'UNREACHABLE' && cause.phase == null)))
  )
}
