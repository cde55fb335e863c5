import type { Interceptor } from '../protocol/interceptor.ts'

/**
 * Refuses the requests of peers that are not wanted, of every protocol of a node: those that are denied, and where somebody is
 * allowed by name, all others. Undefined where nobody is named.
 */
export function peerList({ allow, deny }: { allow: readonly string[]; deny: readonly string[] }): Interceptor | undefined {
  if (allow.length === 0 && deny.length === 0) {
    return undefined
  }
  const allowed = new Set(allow)
  const denied = new Set(deny)
  return async function* ({ direction, peerId }, next) {
    const peer = peerId.toString()
    if (direction === 'request' && (denied.has(peer) || (allowed.size > 0 && !allowed.has(peer)))) {
      throw new Error(`this node does not take requests of ${peer}`)
    }
    yield* next()
  }
}
