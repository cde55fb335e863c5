import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import { openPeerRecord, type SignedRecord } from '../../gossip/peer-record.ts'

/** A record that its peer told on a connection which is open. */
export interface LiveRecord extends SignedRecord {
  /** Unix time in milliseconds, by this node's clock. */
  heardAtMs: number
}

/**
 * The signed records that connected peers told with identify, the last one of each. libp2p keeps the one with the highest sequence number, which is a time on
 * the peer's own clock: that of a peer whose clock was set back would never be kept.
 */
export class LiveRecords {
  readonly #records = new Map<string, LiveRecord>()
  readonly #onRecord: ((connection: Connection, record: SignedRecord) => void) | undefined
  #isConnected: (peerId: PeerId) => boolean = () => false

  /** @param onRecord told of each record */
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

  /** Takes a record that came on a connection; one that cannot be read, or is not its peer's, is left out. */
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
