import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import { openPeerRecord, type SignedRecord } from '../../gossip/peer-record.ts'

/** A signed record from an open connection. */
export interface LiveRecord extends SignedRecord {
  /** Unix time in milliseconds, by this node's clock. */
  heardAtMs: number
}

/**
 * The latest signed record of each connected peer, from identify. libp2p keeps the record with the highest sequence number instead, which
 * is a time of the peer's own clock. A peer whose clock was set back could never replace its record.
 */
export class LiveRecords {
  readonly #records = new Map<string, LiveRecord>()
  readonly #onRecord: ((connection: Connection, record: SignedRecord) => void) | undefined
  #isConnected: (peerId: PeerId) => boolean = () => false

  /** @param onRecord called with each valid record */
  constructor(onRecord?: (connection: Connection, record: SignedRecord) => void) {
    this.#onRecord = onRecord
  }

  follow(libp2p: Pick<Libp2p, 'addEventListener' | 'getConnections'>): void {
    this.#isConnected = (peerId) => libp2p.getConnections(peerId).length > 0
    libp2p.addEventListener('peer:disconnect', ({ detail }) => this.#records.delete(detail.toString()))
  }

  of(peerId: PeerId): LiveRecord | undefined {
    return this.#records.get(peerId.toString())
  }

  /** Stores a record that arrived on a connection. Ignores an unreadable record and a record of another peer. */
  async note(connection: Connection, envelope: Uint8Array): Promise<void> {
    const { remotePeer: peerId } = connection
    const heardAtMs = Date.now()
    const record = await openPeerRecord(envelope).catch(() => undefined)
    if (record?.peerId.equals(peerId) === true && record.multiaddrs.length > 0 && this.#isConnected(peerId)) {
      this.#records.set(peerId.toString(), { ...record, heardAtMs })
      this.#onRecord?.(connection, record)
    }
  }
}
