import type { GossipSub } from '@libp2p/gossipsub'

/** Public in gossipsub's class, not in its interface. */
interface Scored {
  score: { peerStats: Map<string, unknown>; scoreCache: Map<string, unknown> }
}

/**
 * Mends a leak of gossipsub 17.1: of a peer that leaves with a positive score it drops what the score was made of, but never the score
 * itself. Here that goes too, within a second.
 */
export function withoutOldScores<Components>(factory: (components: Components) => GossipSub): (components: Components) => GossipSub {
  return (components) => {
    const pubsub = factory(components)
    const { peerStats, scoreCache } = (pubsub as unknown as Scored).score
    pubsub.addEventListener('gossipsub:heartbeat', () => {
      for (const peer of scoreCache.keys()) {
        if (!peerStats.has(peer)) {
          scoreCache.delete(peer)
        }
      }
    })
    return pubsub
  }
}
