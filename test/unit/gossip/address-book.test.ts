import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { peerIdFromString } from '@libp2p/peer-id'
import { AddressBook, type BookOptions } from '../../../src/gossip/address-book.ts'
import type { BookEntry } from '../../../src/gossip/book-entry.ts'
import { ADDRESS_BOOK_SCHEMA } from '../../../src/gossip/book-rows.ts'
import { openPeerRecord } from '../../../src/gossip/peer-record.ts'
import { HOME_MIGRATIONS } from '../../../src/node/home/home-database.ts'
import { openDatabase } from '../../../src/primitives/database.ts'
import { addresses, newPeer, newPeers, type TestPeer } from '../../support/keys.ts'
import { TempFolders } from '../../support/temp.ts'
import { START_MS, signedEntry, TemporaryBook, unsignedEntry } from './temporary-book.ts'

const INTERVAL_MS = 20_000
const DAY_MS = 86_400_000

describe('the address book', () => {
  let temporary: TemporaryBook
  let book: AddressBook
  let peer: TestPeer

  beforeEach(async () => {
    temporary = await TemporaryBook.create()
    book = await temporary.open()
    peer = await newPeer()
  })

  afterEach(async () => temporary.remove())

  function known(of: TestPeer = peer): BookEntry {
    const entry = book.get(of.peerId)
    assert.ok(entry != null, 'the book does not know the peer')
    return entry
  }

  it('gives back what was entered, also over another connection', async () => {
    const entry = await signedEntry(peer, 7, {
      multiaddrs: addresses(peer, 3),
      state: 'joining',
      origin: 'neighbour',
      namedOver: 'private',
      verified: undefined,
    })
    assert.equal(await book.put(entry), 'stored')
    const again = (await temporary.open()).get(peer.peerId)
    assert.ok(again?.envelope != null)
    assert.deepEqual(
      { ...again, peerId: peer.peerId.toString(), multiaddrs: again.multiaddrs.map(String), envelope: undefined },
      {
        ...entry,
        peerId: peer.peerId.toString(),
        multiaddrs: entry.multiaddrs.map(String),
        envelope: undefined,
      },
    )
    assert.equal((await openPeerRecord(again.envelope)).seq, 7n)
    assert.equal((await book.get((await newPeer()).peerId)) ?? 'nothing', 'nothing')
  })

  it('keeps the newest record, in whichever order they come', async () => {
    assert.equal(await book.put(await signedEntry(peer, 5)), 'stored')
    assert.equal(await book.put(await signedEntry(peer, 4, { seenAtMs: START_MS + 1_000 })), 'old')
    assert.equal(known().seq, 5n)
    assert.equal(known().seenAtMs, START_MS)
    assert.equal(await book.put(await signedEntry(peer, 6, { seenAtMs: START_MS - 1_000 })), 'stored')
    assert.equal(known().seq, 6n)
  })

  it('orders sequence numbers above 2^53 to the last digit', async () => {
    const big = 2n ** 53n
    await book.put(await signedEntry(peer, big + 2n))
    assert.equal(await book.put(await signedEntry(peer, big + 1n)), 'old')
    assert.equal(known().seq, big + 2n)
    assert.equal(await book.put(await signedEntry(peer, big + 3n)), 'stored')
    assert.equal(book.list()[0]?.seq, big + 3n)
    await book.markBad(peer.peerId, big + 2n)
    assert.equal(known().bad, false)
    await book.markBad(peer.peerId, big + 3n)
    assert.equal(known().bad, true)
  })

  it('takes the record it has for news of when its peer was seen, and keeps what was found out about it', async () => {
    const first = await signedEntry(peer, 5, { state: 'offline' })
    await book.put(first)
    await book.markBad(peer.peerId, 5n)
    const again: BookEntry = { ...first, origin: 'neighbour', state: 'online', seenAtMs: START_MS + 1_000, heartbeatAtMs: undefined }
    assert.equal(await book.put(again), 'stored')
    const { origin, state, bad, seenAtMs, heartbeatAtMs } = known()
    assert.deepEqual(
      { origin, state, bad, seenAtMs, heartbeatAtMs },
      { origin: 'gossip', state: 'offline', bad: true, seenAtMs: START_MS + 1_000, heartbeatAtMs: START_MS },
    )
    assert.equal(await book.put({ ...again, seenAtMs: START_MS + 500 }), 'old')
    assert.equal(known().seenAtMs, START_MS + 1_000)
  })

  it('forgets what was found out when a newer record comes', async () => {
    await book.put(await signedEntry(peer, 5))
    await book.markBad(peer.peerId, 5n)
    await book.put(await signedEntry(peer, 6, { origin: 'neighbour' }))
    assert.equal(known().bad, false)
    assert.equal(known().origin, 'neighbour')
  })

  it('replaces a signed record by unsigned addresses only when it is no longer an answer', async () => {
    await book.put(await signedEntry(peer, 5))
    assert.equal(await book.put(unsignedEntry(peer)), 'old')
    assert.ok(known().envelope != null)
    await book.markBad(peer.peerId, 5n)
    assert.equal(await book.put(unsignedEntry(peer)), 'stored')
    assert.equal(known().envelope, undefined)
    assert.equal(known().origin, 'chain')
    assert.equal(known().bad, false)
    assert.equal(await book.put(await signedEntry(peer, 6)), 'stored', 'a signed record replaces unsigned addresses')
  })

  it('takes no record that is older than the one that an address just dialled replaced', async () => {
    await book.put(await signedEntry(peer, 5))
    await book.markBad(peer.peerId, 5n)
    const dialled = unsignedEntry(peer, { origin: 'dialled' })
    assert.deepEqual([await book.put(dialled), await book.put(dialled)], ['stored', 'stored'])
    assert.equal(await book.put(await signedEntry(peer, 4, { seenAtMs: START_MS + 1_000 })), 'old')
    assert.equal(known().origin, 'dialled')
    await book.markBad(peer.peerId, known().seq)
    assert.equal(known().bad, true)
    assert.equal(await book.put(await signedEntry(peer, 6)), 'stored')
    assert.equal(known().bad, false)
  })

  it('does not take an unsigned entry of the same number for the record it knows', async () => {
    await book.put(unsignedEntry(peer, { seq: 5n }))
    await book.markBad(peer.peerId, 5n)
    await book.put(await signedEntry(peer, 5))
    assert.equal(known().origin, 'gossip')
    assert.equal(known().bad, false)
  })

  describe('with addresses that a peer told without a record', () => {
    const told = (seq: number, overrides: Partial<BookEntry> = {}): BookEntry =>
      unsignedEntry(peer, { origin: 'gossip', seq: BigInt(seq), heartbeatAtMs: START_MS, verified: false, ...overrides })

    it('takes the newest word, and no other twice', async () => {
      assert.equal(await book.put(told(5)), 'stored')
      assert.equal(known().verified, false)
      assert.equal(await book.put(told(5, { multiaddrs: addresses(peer, 1, 2_000) })), 'old')
      assert.equal(await book.put(told(4)), 'old')
      assert.equal(await book.put(told(6)), 'stored')
      assert.equal(known().seq, 6n)
    })

    it('takes them for verified once a connection to the one address succeeded, for as long as it stays the one', async () => {
      await book.put(told(5))
      await book.markGood(peer.peerId, peer.at(9))
      assert.equal(known().verified, false, 'the connection was to another address')
      await book.markGood(peer.peerId, known().multiaddrs[0])
      assert.equal(known().verified, true)
      await book.put(told(6))
      assert.equal(known().verified, true)
      await book.markBad(peer.peerId, 6n)
      await book.put(told(7))
      assert.equal(known().verified, false, 'it was refuted since')
      await book.markGood(peer.peerId, known().multiaddrs[0])
      await book.put(told(8, { multiaddrs: addresses(peer, 1, 2_000) }))
      assert.equal(known().verified, false)
    })

    it('lets a signed record win', async () => {
      await book.put(told(5))
      assert.equal(await book.put(await signedEntry(peer, 1)), 'stored')
      assert.equal(known().verified, undefined)
      assert.equal(await book.put(told(6)), 'old')
      assert.ok(known().envelope != null)
    })

    it('keeps what was told, and when, once a connection confirmed an address', async () => {
      await book.put(told(5))
      assert.equal(await book.put(unsignedEntry(peer, { origin: 'neighbour', multiaddrs: addresses(peer, 1, 2_000) })), 'stored')
      const { seq, verified, multiaddrs } = known()
      assert.deepEqual(
        { seq, verified, multiaddrs: multiaddrs.map(String) },
        { seq: 5n, verified: true, multiaddrs: addresses(peer, 1, 2_000).map(String) },
      )
      assert.equal(book.countLiving(), 0, 'it sends no heartbeats')
      assert.equal(await book.put(told(4)), 'old')
      assert.equal(await book.put(told(6)), 'stored')
    })

    it('takes none that was told before the last heartbeat for newer than a goodbye', async () => {
      await book.put(await signedEntry(peer, 1, { state: 'offline' }))
      assert.equal(await book.put(told(START_MS)), 'old')
      assert.equal(known().state, 'offline')
      assert.equal(await book.put(told(START_MS + 1)), 'stored')
      assert.equal(known().state, 'online')
    })

    it('holds a signed record for verified, though an earlier version of this program left the mark of what was told', async () => {
      await book.put(await signedEntry(peer, 1))
      ;(await temporary.connect()).exec('UPDATE address_book SET verified = 0')
      assert.equal(known().verified, undefined)
    })

    it('does not count them among those that send heartbeats', async () => {
      await book.put(told(5))
      assert.equal(book.countLiving(), 0)
    })
  })

  it('holds an entry for fresh until three intervals of its peer have passed', async () => {
    await book.put(await signedEntry(peer, 5))
    temporary.clock.nowMs += 3 * INTERVAL_MS
    assert.equal(book.isFresh(known()), true)
    assert.equal(book.ageMs(known()), 3 * INTERVAL_MS)
    temporary.clock.nowMs += 1
    assert.equal(book.isFresh(known()), false)
    temporary.clock.nowMs = START_MS - 1
    assert.equal(book.ageMs(known()), 0, 'an entry from the future has no age')
  })

  it('holds no entry for fresh that is bad or whose peer went', async () => {
    await book.put(await signedEntry(peer, 5))
    await book.markBad(peer.peerId, 4n)
    assert.equal(book.isFresh(known()), true, 'the mark was about an older record')
    await book.markBad(peer.peerId, 5n)
    assert.equal(book.isFresh(known()), false)
    await book.markGood(peer.peerId)
    assert.equal(book.isFresh(known()), true)
    await book.put(await signedEntry(peer, 6, { state: 'offline' }))
    assert.equal(book.isFresh(known()), false)
    await book.markGood(peer.peerId)
    assert.equal(known().state, 'offline', 'a mark that clears nothing changes nothing')
  })

  it('counts the living: those whose heartbeat was heard within three of their intervals, and who did not say goodbye', async () => {
    const at = async (overrides: Partial<BookEntry>): Promise<void> => {
      const [another] = await newPeers(1)
      await book.put(await signedEntry(another as TestPeer, 1, overrides))
    }
    assert.equal(book.countLiving(), 0)
    await at({})
    await at({ state: 'joining', heartbeatAtMs: START_MS - 3 * INTERVAL_MS })
    await at({ intervalMs: 600_000, heartbeatAtMs: START_MS - 1_800_000 })
    await at({ bad: true })
    assert.equal(book.countLiving(), 4)
    await at({ state: 'offline' })
    await at({ heartbeatAtMs: START_MS - 3 * INTERVAL_MS - 1 })
    await at({ intervalMs: 600_000, heartbeatAtMs: START_MS - 1_800_001 })
    await at({ heartbeatAtMs: undefined })
    assert.equal(book.countLiving(), 4)
    temporary.clock.nowMs += 1
    assert.equal(book.countLiving(), 2)
  })

  it('forgets an entry 24 hours after it was heard', async () => {
    await book.put(await signedEntry(peer, 5))
    temporary.clock.nowMs += DAY_MS - 1
    assert.ok(book.get(peer.peerId) != null)
    assert.equal(book.list().length, 1)
    temporary.clock.nowMs += 1
    assert.equal(book.get(peer.peerId), undefined)
    assert.deepEqual(book.list(), [])
    assert.equal(await book.put(await signedEntry(peer, 4, { seenAtMs: temporary.clock.nowMs })), 'stored')
  })

  it('renews an unsigned address when a connection to it ends, however long it lasted', async () => {
    const entry = unsignedEntry(peer, { origin: 'dialled' })
    await book.put(entry)
    temporary.clock.nowMs += 3 * DAY_MS
    await book.markSeen(peer.peerId, addresses(peer, 1, 2_000)[0])
    assert.equal(book.get(peer.peerId), undefined, 'another address')
    await book.markSeen(peer.peerId, entry.multiaddrs[0])
    assert.equal(book.isFresh(known()), true)
    assert.deepEqual([known().origin, known().verified], ['dialled', undefined])
    const signed = await signedEntry(peer, 5, { seenAtMs: temporary.clock.nowMs })
    await book.put(signed)
    temporary.clock.nowMs += DAY_MS
    await book.markSeen(peer.peerId, signed.multiaddrs[0])
    assert.equal(book.get(peer.peerId), undefined, 'a record is renewed by its peer')
  })

  it('lists the last heard first', async () => {
    const agesMs = [2_000, 0, 1_000]
    for (const ageMs of agesMs) {
      await book.put(await signedEntry(await newPeer(), 1, { seenAtMs: START_MS - ageMs }))
    }
    assert.deepEqual(
      book.list().map((entry) => book.ageMs(entry)),
      [0, 1_000, 2_000],
    )
  })

  describe('that is full', () => {
    const capacity = 4
    let peers: TestPeer[]
    let newcomer: TestPeer

    before(async () => {
      peers = await newPeers(capacity)
      newcomer = await newPeer()
    })

    async function fill(overrides: Partial<BookEntry>[], options: BookOptions = {}): Promise<void> {
      book = await temporary.open({ capacity, ...options })
      for (const [index, of] of peers.entries()) {
        assert.equal(await book.put(await signedEntry(of, 1, overrides[index] ?? {})), 'stored')
      }
    }

    const names = () =>
      book
        .list()
        .map(({ peerId }) => peerId.toString())
        .sort()
    const of = (...chosen: Array<TestPeer | undefined>) => chosen.map((each) => each?.peerId.toString()).sort()

    it('refuses newcomers, signed or not, rather than drop the living', async () => {
      await fill([])
      assert.equal(await book.put(await signedEntry(newcomer, 1)), 'full')
      assert.equal(await book.put(unsignedEntry(newcomer)), 'full')
      assert.deepEqual(names(), of(...peers))
      assert.equal(await book.put(await signedEntry(peers[0] ?? newcomer, 2)), 'stored', 'those it knows go on')
      assert.equal(book.size, capacity)
    })

    it('drops what is stale, bad or gone for a newcomer, and nothing else', async () => {
      await fill([{ seenAtMs: START_MS - 3 * INTERVAL_MS - 1 }, { state: 'offline' }, {}, { seenAtMs: START_MS - 3 * INTERVAL_MS }])
      await book.markBad(peers[2]?.peerId ?? newcomer.peerId, 1n)
      assert.equal(await book.put(await signedEntry(newcomer, 1)), 'stored')
      assert.deepEqual(names(), of(peers[3], newcomer))
    })

    it('drops what expired before what is only stale', async () => {
      await fill([{ seenAtMs: START_MS - DAY_MS }, { state: 'offline' }])
      assert.equal(await book.put(await signedEntry(newcomer, 1)), 'stored')
      assert.deepEqual(names(), of(peers[1], peers[2], peers[3], newcomer))
    })
  })

  it('finds a peer by its key, and lists by an index, however many it knows', async () => {
    const database = await temporary.connect()
    const insert = database.prepare(
      "INSERT INTO address_book VALUES (?, '[]', NULL, 1, 'gossip', 'online', ?, NULL, 20000, 0, 'stranger', 1)",
    )
    database.exec('BEGIN')
    for (let index = 0; index < 9_000; index++) {
      insert.run(`peer ${index}`, START_MS)
    }
    database.exec('COMMIT; ANALYZE')
    await book.put(await signedEntry(peer, 1))
    const statements: string[] = []
    const recording = new Proxy(database, {
      get: (target, name) =>
        name === 'prepare' ? (sql: string) => statements.push(sql) && target.prepare(sql) : Reflect.get(target, name),
    })
    const recorded = new AddressBook(recording, { now: () => START_MS })
    assert.equal(recorded.get(peer.peerId)?.seq, 1n)
    assert.equal(recorded.list().length, 1, 'rows that are no peers are as good as none')
    assert.equal(recorded.countLiving(), 1)
    const plans = statements.map((sql) =>
      database
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .all()
        .map(({ detail }) => detail),
    )
    assert.deepEqual(plans, [
      ['SEARCH address_book USING PRIMARY KEY (peer_id=?)'],
      ['SEARCH address_book USING INDEX address_book_seen (seen_at_ms>?)'],
      ['SEARCH address_book USING COVERING INDEX address_book_beating (heartbeat_at_ms>?)'],
    ])
  })

  it('takes its own sequence number from the clock, and counts on when the clock stands or goes back', async () => {
    assert.equal(await book.nextSequence(), BigInt(START_MS))
    assert.equal(await book.nextSequence(), BigInt(START_MS + 1))
    temporary.clock.nowMs -= DAY_MS
    assert.equal(await (await temporary.open()).nextSequence(), BigInt(START_MS + 2))
    temporary.clock.nowMs += 2 * DAY_MS
    assert.equal(await book.nextSequence(), BigInt(START_MS + DAY_MS))
  })

  it('leaves nothing half-done, and goes on, when a write fails', async () => {
    const broken = { ...(await signedEntry(peer, 1)), origin: null } as unknown as BookEntry
    await assert.rejects(book.put(broken), /NOT NULL/)
    assert.equal(book.size, 0)
    assert.equal(await book.put(await signedEntry(peer, 1)), 'stored')
  })

  describe('shared by processes', function () {
    this.timeout(60_000)
    const writers: Writer[] = []

    afterEach(() => {
      for (const { child } of writers.splice(0)) {
        child.kill('SIGKILL')
      }
    })

    function writer(count: number): Writer {
      const started = new Writer(temporary.file, count)
      writers.push(started)
      return started
    }

    it('holds what two of them write at once, each sequence number given once', async () => {
      const count = 100
      const [a, b] = [writer(count), writer(count)]
      const [ofA, ofB] = await Promise.all([a.run(), b.run()])
      temporary.clock.nowMs = Date.now()
      assert.equal(new Set([...ofA.written, ...ofB.written]).size, 2 * count)
      assert.equal(book.size, 2 * count + 2)
      for (const { peerId, written } of [ofA, ofB]) {
        assert.equal(book.get(peerIdFromString(peerId))?.seq, written.at(-1))
      }
    })

    it('holds all that was written when one of them is killed in the middle of it', async () => {
      const killed = writer(1_000_000)
      let lines = 0
      for await (const line of killed.lines) {
        lines++
        if (lines === 50) {
          killed.child.kill('SIGKILL')
        }
        killed.take(line)
      }
      const { peerId, written } = killed
      const database = await temporary.connect()
      assert.deepEqual(
        database
          .prepare('PRAGMA integrity_check')
          .all()
          .map((row) => row.integrity_check),
        ['ok'],
      )
      temporary.clock.nowMs = Date.now()
      book = await temporary.open()
      assert.ok((book.get(peerIdFromString(peerId))?.seq ?? 0n) >= (written.at(-1) ?? 0n))
      assert.ok(written.length >= 49)
      assert.ok(book.list().length > written.length)
      assert.ok((await book.nextSequence()) > (written.at(-1) ?? 0n))
      assert.equal(await book.put(await signedEntry(peer, 1, { seenAtMs: Date.now() })), 'stored')
    })
  })
})

/** A process that writes. */
class Writer {
  readonly child: ChildProcessByStdio<null, Readable, null>
  readonly lines: AsyncIterable<string>
  readonly written: bigint[] = []
  peerId = ''

  constructor(file: string, count: number) {
    const script = fileURLToPath(new URL('book-writer.ts', import.meta.url))
    this.child = spawn(process.execPath, [script, file, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.lines = createInterface({ input: this.child.stdout })
  }

  take(line: string): void {
    if (this.peerId === '') {
      this.peerId = line
    } else {
      this.written.push(BigInt(line))
    }
  }

  async run(): Promise<this> {
    const exited = once(this.child, 'exit')
    for await (const line of this.lines) {
      this.take(line)
    }
    assert.deepEqual(await exited, [0, null])
    return this
  }
}

describe('an address book of an earlier version', () => {
  const folders = new TempFolders()

  afterEach(async () => folders.clean())

  it('is brought up to date by every process that opens it, and keeps what it knows', async () => {
    const file = join(await folders.make(), 'node.db')
    const peer = await newPeer()
    const old = new DatabaseSync(file)
    old.exec(ADDRESS_BOOK_SCHEMA.replace(/,\s*named_over TEXT,\s*verified INTEGER/, ''))
    old
      .prepare("INSERT INTO address_book VALUES (?, '[]', NULL, 1, 'gossip', 'online', ?, NULL, 20000, 0)")
      .run(peer.peerId.toString(), START_MS)
    old.close()
    for (const known of ['stranger', 'loopback']) {
      const database = await openDatabase({ file }, HOME_MIGRATIONS)
      const book = new AddressBook(database, { now: () => START_MS })
      assert.equal(book.get(peer.peerId)?.namedOver, known)
      assert.equal(book.get(peer.peerId)?.verified, undefined, 'earlier versions kept nothing else')
      await book.put(await signedEntry(peer, 2, { namedOver: 'loopback' }))
      database.close()
    }
  })
})
