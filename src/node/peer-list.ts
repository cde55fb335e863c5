import { ProtocolError } from '../protocol/api/errors.ts'
import type { Interceptor } from '../protocol/api/interceptor.ts'
import { DAG_SYNC_PROTOCOL_ID } from '../protocol/builtin/dag-sync.ts'

/**
 * Refuses the requests of peers that are not wanted, of every protocol of a node but DAG sync: those that are denied, and where somebody is
 * allowed by name, all others. Undefined where nobody is named. DAG sync tells nothing, and a node of the template that gets no answer never starts.
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
