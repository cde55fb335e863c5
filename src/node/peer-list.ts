import { ProtocolError } from '../protocol/api/errors.ts'
import type { Interceptor } from '../protocol/api/interceptor.ts'
import { DAG_SYNC_PROTOCOL_ID } from '../protocol/builtin/dag-sync.ts'

/**
 * Enforces the allowlist and the denylist on requests of every protocol except DAG sync. With a non-empty allowlist, all other peers are
 * denied. Undefined if both lists are empty. DAG sync is exempt: it reveals nothing, and a template node does not start without its answer.
 */
export function peerList({ allow, deny }: { allow: readonly string[]; deny: readonly string[] }): Interceptor | undefined {
  if (allow.length === 0 && deny.length === 0) {
    return undefined
  }
  const allowed = new Set(allow)
  const denied = new Set(deny)
  return (next) => async (exchange) => {
    const { direction, peerId, protocolId } = exchange
    const peer = peerId.toString()
    if (direction === 'request' && protocolId !== DAG_SYNC_PROTOCOL_ID && (denied.has(peer) || (allowed.size > 0 && !allowed.has(peer)))) {
      throw new ProtocolError('NOT_ADMITTED', `this node does not take requests of ${peer}`)
    }
    return next(exchange)
  }
}
