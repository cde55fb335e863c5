import type { Connection } from '@libp2p/interface'
import { remoteHostOf } from './remote-host.ts'

/** Maximum concurrent circuits: in total, per calling peer, per calling IP address or /64, and per called peer. */
const MAX_CIRCUITS = { all: 256, ofPeer: 16, atHost: 64, toPeer: 64 }

/** A circuit that is open or being opened. */
export interface Circuit {
  /** Releases the slot of the circuit. Idempotent. */
  end(): void
}

/** Counts and limits the circuits of a relay. */
export class CircuitCounts {
  readonly #counts = new Map<string, number>()

  get size(): number {
    return this.#counts.get('all') ?? 0
  }

  /** Reserves a slot for a circuit. Undefined if a limit is reached. @param to the multihash of the called peer */
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
