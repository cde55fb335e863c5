import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { Libp2p, PeerId } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import type { FindOptions } from '../resolve/tier.ts'
import type { Bootstrap } from './dial/bootstrap.ts'

type SearchOptions = Pick<FindOptions, 'signal' | 'prolong'>

/** Sorts peers by Kademlia distance to a target: the XOR of the SHA-256 hashes of their IDs. */
export function byDistance(peers: PeerId[], target: PeerId): PeerId[] {
  const hash = (peerId: PeerId): Buffer => createHash('sha256').update(peerId.toMultihash().bytes).digest()
  const origin = hash(target)
  const distance = (peerId: PeerId): Buffer => hash(peerId).map((byte, index) => byte ^ (origin[index] ?? 0)) as Buffer
  return peers
    .map((peerId) => ({ peerId, distance: distance(peerId) }))
    .sort((a, b) => Buffer.compare(a.distance, b.distance))
    .map(({ peerId }) => peerId)
}

/** The connected peers that support a protocol, according to identify. */
export class Speakers extends EventTarget {
  readonly #peers = new Map<string, PeerId>()

  constructor() {
    super()
    // every resolution that waits for a neighbour adds a listener
    setMaxListeners(0, this)
  }

  /**
   * Updates the list from libp2p events. Code that awaits the same identify event resumes after the update. A peer that disconnected before
   * its identify event is not added, because no event would remove it.
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

  /**
   * Yields the current peers, closest first, then peers that connect during the first round of bootstrap dials. A slow bootstrap prolongs
   * the search.
   */
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

/** Notifies one waiter of changes since its last look. */
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
