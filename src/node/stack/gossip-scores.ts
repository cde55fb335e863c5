import type { GossipSub } from '@libp2p/gossipsub'

/** Public on gossipsub's class, missing in its interface. */
interface Scored {
  score: { peerStats: Map<string, unknown>; scoreCache: Map<string, unknown> }
}

/**
 * Fixes a leak of gossipsub 17.1, which never drops the cached score of a peer that disconnects with a positive score. Each gossip
 * heartbeat, once per second, now drops the cached scores of peers without statistics.
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
