import type { Logger } from '../observe/logger.ts'
import { DatabaseError } from '../primitives/database-error.ts'
import type { AddressBook, PutResult } from './address-book.ts'
import type { BookEntry, PeerState } from './book-entry.ts'

/** What a peer told of itself was accepted. */
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

/** Enters what peers tell of themselves into the address book, counts it, and tells of it. */
export class Heard {
  readonly #init: HeardInit
  #toldFullAtMs = Number.NEGATIVE_INFINITY
  /** Words that were news, also of peers for whom there was no room. */
  readonly counts: { received: number; lastReceivedAtMs: number | undefined } = { received: 0, lastReceivedAtMs: undefined }

  constructor(init: HeardInit) {
    this.#init = init
  }

  /** Of a book that cannot be written this is no fault of the peer: its word is `unwritten`, and goes on to others. */
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

  /** A book that is full is told of, but not with every word. */
  #tellFull(now: number): void {
    if (now - this.#toldFullAtMs >= TELL_EVERY_MS) {
      this.#toldFullAtMs = now
      this.#init.log.warn('the address book is full of living peers: newcomers are not entered')
    }
  }
}
