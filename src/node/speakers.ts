import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { Libp2p, PeerId } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import type { FindOptions } from '../resolve/tier.ts'
import type { Bootstrap } from './dial/bootstrap.ts'

type SearchOptions = Pick<FindOptions, 'signal' | 'prolong'>

/** Sorts peers by their Kademlia distance to a target: the XOR of the hashes of their IDs. */
export function byDistance(peers: PeerId[], target: PeerId): PeerId[] {
  const hash = (peerId: PeerId): Buffer => createHash('sha256').update(peerId.toMultihash().bytes).digest()
  const origin = hash(target)
  const distance = (peerId: PeerId): Buffer => hash(peerId).map((byte, index) => byte ^ (origin[index] ?? 0)) as Buffer
  return peers
    .map((peerId) => ({ peerId, distance: distance(peerId) }))
    .sort((a, b) => Buffer.compare(a.distance, b.distance))
    .map(({ peerId }) => peerId)
}

/** The connected peers that speak a protocol, as identify tells. */
export class Speakers extends EventTarget {
  readonly #peers = new Map<string, PeerId>()

  constructor() {
    super()
    // every resolution that waits for a neighbour listens
    setMaxListeners(0, this)
  }

  /**
   * Keeps the list by a node's events. A peer is on it before anyone who waits for the same identify event goes on. A peer that
   * disconnected before its identify event is left out: no event would remove it.
   */
  follow(libp2p: Pick<Libp2p, 'addEventListener' | 'getConnections'>, protocolId: string): void {
    libp2p.addEventListener('peer:identify', ({ detail: { peerId, protocols } }) => {
      if (protocols.includes(protocolId) && libp2p.getConnections(peerId).length > 0) {
        this.#peers.set(peerId.toString(), peerId)
        this.dispatchEvent(new Event('change'))
      } else {
        this.#peers.delete(peerId.toString())
      }
    })
    libp2p.addEventListener('peer:disconnect', ({ detail }) => this.#peers.delete(detail.toString()))
  }

  list(): PeerId[] {
    return [...this.#peers.values()]
  }

  /** Those there are, then those that come while bootstraps are tried for the first time: one that answers slowly has its time. */
  async *closestTo(target: PeerId, bootstrap: Bootstrap, { signal, prolong }: SearchOptions): AsyncGenerator<PeerId> {
    const unwatch = bootstrap.onAlive((ms) => prolong?.(ms))
    const given = new Set<string>()
    const changed = new Changes()
    const listener = (): void => changed.notify()
    this.addEventListener('change', listener)
    bootstrap.addEventListener('settled', listener)
    try {
      while (true) {
        for (const peerId of byDistance(this.list(), target)) {
          if (!given.has(peerId.toString())) {
            given.add(peerId.toString())
            yield peerId
          }
        }
        if (!bootstrap.pending) {
          return
        }
        await raceSignal(changed.next(), signal)
      }
    } finally {
      unwatch()
      this.removeEventListener('change', listener)
      bootstrap.removeEventListener('settled', listener)
    }
  }
}

/** Lets one waiter know that something changed since it last looked. */
class Changes {
  #resolvers = Promise.withResolvers<void>()

  notify(): void {
    this.#resolvers.resolve()
  }

  async next(): Promise<void> {
    await this.#resolvers.promise
    this.#resolvers = Promise.withResolvers<void>()
  }
}
