import type { Logger } from '../observe/logger.ts'
import { DatabaseError } from '../primitives/database-error.ts'
import type { AddressBook, PutResult } from './address-book.ts'
import type { BookEntry, PeerState } from './book-entry.ts'

/** An accepted statement of a peer about itself. */
export interface HeartbeatEvent {
  peerId: string
  state: PeerState
  multiaddrs: string[]
}

export interface HeardInit {
  book: AddressBook
  log: Logger
  onHeartbeat?: ((event: HeartbeatEvent) => void) | undefined
  now: () => number
}

const TELL_EVERY_MS = 60_000

/** Enters statements of peers into the address book, counts them, and emits an event for each. */
export class Heard {
  readonly #init: HeardInit
  #toldFullAtMs = Number.NEGATIVE_INFINITY
  /** Statements that were news, including peers that did not fit into the book. */
  readonly counts: { received: number; lastReceivedAtMs: number | undefined } = { received: 0, lastReceivedAtMs: undefined }

  constructor(init: HeardInit) {
    this.#init = init
  }

  /** If the book cannot be written, the peer is not at fault: the result is `unwritten`, and the message is still forwarded. */
  async enter(told: Omit<BookEntry, 'origin' | 'seenAtMs' | 'heartbeatAtMs' | 'bad'>): Promise<PutResult | 'unwritten'> {
    const now = this.#init.now()
    const entry: BookEntry = { ...told, origin: 'gossip', seenAtMs: now, heartbeatAtMs: now, bad: false }
    const result = await this.#init.book.put(entry).catch((error) => {
      if (error instanceof DatabaseError) {
        return 'unwritten' as const
      }
      throw error
    })
    if (result !== 'old') {
      this.counts.received++
      this.counts.lastReceivedAtMs = now
    }
    if (result === 'full') {
      this.#tellFull(now)
    }
    if (result === 'stored') {
      this.#init.onHeartbeat?.({ peerId: told.peerId.toString(), state: told.state, multiaddrs: told.multiaddrs.map(String) })
    }
    return result
  }

  /** Reports a full book, but not for every message. */
  #tellFull(now: number): void {
    if (now - this.#toldFullAtMs >= TELL_EVERY_MS) {
      this.#toldFullAtMs = now
      this.#init.log.warn('the address book is full of online peers: new peers are not added')
    }
  }
}
