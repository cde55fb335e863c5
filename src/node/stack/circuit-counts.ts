import type { Connection } from '@libp2p/interface'
import { remoteHostOf } from './remote-host.ts'

/** Circuits at a time: in all, of one peer that calls, of one IP address or /64 that calls, and to one peer. */
const MAX_CIRCUITS = { all: 256, ofPeer: 16, atHost: 64, toPeer: 64 }

/** A circuit that is open, or being opened. */
export interface Circuit {
  /** Gives its place back. May be called twice. */
  end(): void
}

/** Counts the circuits of a relay. */
export class CircuitCounts {
  readonly #counts = new Map<string, number>()

  get size(): number {
    return this.#counts.get('all') ?? 0
  }

  /** Undefined where there are as many as may be. @param to the multihash of the peer that is called */
  begin({ remotePeer, remoteAddr }: Connection, to: Uint8Array): Circuit | undefined {
    const shares: Array<[key: string, max: number]> = [
      ['all', MAX_CIRCUITS.all],
      [`of ${remotePeer.toString()}`, MAX_CIRCUITS.ofPeer],
      [`at ${remoteHostOf(remoteAddr).name}`, MAX_CIRCUITS.atHost],
      [`to ${Buffer.from(to).toString('base64')}`, MAX_CIRCUITS.toPeer],
    ]
    if (shares.some(([key, max]) => (this.#counts.get(key) ?? 0) >= max)) {
      return undefined
    }
    const add = (by: 1 | -1): void => {
      for (const [key] of shares) {
        const count = (this.#counts.get(key) ?? 0) + by
        count === 0 ? this.#counts.delete(key) : this.#counts.set(key, count)
      }
    }
    add(1)
    let ended = false
    return {
      end: () => {
        if (!ended) {
          ended = true
          add(-1)
        }
      },
    }
  }
}
