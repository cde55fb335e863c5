import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { AddressBook } from '../../src/gossip/address-book.ts'
import type { BookEntry } from '../../src/gossip/book-entry.ts'
import { sealPeerRecord } from '../../src/gossip/peer-record.ts'
import { createNode } from '../../src/index.ts'
import { homeAt } from '../../src/node/home/home.ts'
import { HOME_MIGRATIONS } from '../../src/node/home/home-database.ts'
import { openDatabase } from '../../src/primitives/database.ts'
import { timeEach } from './measure.ts'
import { enterStrangersInBook } from './strangers.ts'

/** Medians, in microseconds. */
export interface BookFigures {
  entries: number
  /** A whole resolution, answered from the book. */
  resolveUs: number
  /** What a heartbeat does: of a peer that is known, and of one that is not. */
  updateUs: number
  newcomerUs: number
  /** What a beat of one's own does: counts the living. */
  countUs: number
}

const SAMPLES = 100
const ROOM_FOR_NEWCOMERS = 2 * SAMPLES
const ADDRESS = multiaddr('/ip4/127.0.0.1/tcp/4001')

/** Times an address book of so many peers, in the home at `path`. */
export async function measureBook(path: string, entries: number): Promise<BookFigures> {
  const peers = await enterStrangersInBook(path, entries)
  const chosen = Array.from({ length: SAMPLES }, (_, index) => peers[Math.floor((index * entries) / SAMPLES)] as PeerId)
  await using node = await createNode({ home: path })
  await node.start()
  const resolve = async (peerId: PeerId): Promise<void> => {
    const { source } = await node.resolve(peerId)
    if (source !== 'gossip') {
      throw new Error(`${peerId.toString()} was found by ${source} and not by gossip`)
    }
  }
  await timeEach(chosen, resolve)
  const resolved = await timeEach(chosen, resolve)

  const database = await openDatabase({ file: homeAt(path).databaseFile }, HOME_MIGRATIONS)
  try {
    const book = new AddressBook(database, { capacity: entries + ROOM_FOR_NEWCOMERS })
    const [warmUps, newcomers] = [await makeEntries(), await makeEntries()]
    await timeEach(warmUps, async (entry) => book.put(entry))
    const entered = await timeEach(newcomers, async (entry) => book.put(entry))
    const updated = await timeEach(newcomers, async (entry) => book.put({ ...entry, seq: entry.seq + 1n }))
    const counted = await timeEach(newcomers, async () => book.countLiving())
    const us = ({ p50Ms }: { p50Ms: number }): number => p50Ms * 1_000
    return { entries, resolveUs: us(resolved), updateUs: us(updated), newcomerUs: us(entered), countUs: us(counted) }
  } finally {
    database.close()
  }
}

async function makeEntries(): Promise<BookEntry[]> {
  return Promise.all(
    Array.from({ length: SAMPLES }, async () => {
      const now = Date.now()
      const record = await sealPeerRecord(await generateKeyPair('Ed25519'), [ADDRESS], BigInt(now))
      return { ...record, origin: 'gossip', state: 'online', seenAtMs: now, heartbeatAtMs: now, intervalMs: 600_000, bad: false } as const
    }),
  )
}
