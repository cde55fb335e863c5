import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { create, toBinary } from '@bufbuild/protobuf'
import { RecordEnvelope } from '@libp2p/peer-record'
import type { Multiaddr } from '@multiformats/multiaddr'
import { LedgerRegistry } from '../../../src/chain/drivers/ledger.ts'
import { type ChainChange, type ChainError, NODE_CLASSES } from '../../../src/chain/registry.ts'
import { LedgerRecordSchema, LedgerRegistrationSchema } from '../../../src/gen/subnet/ledger/v1/ledger_pb.ts'
import { sealPeerRecord } from '../../../src/gossip/peer-record.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { describeRegistry } from '../../../src/testing/registry-compliance.ts'
import { describeReading } from '../../../src/testing/registry-reading-compliance.ts'
import { asAnyUser } from '../../support/any-user.ts'
import { addresses, newPeers, type TestPeer } from '../../support/keys.ts'

const SUBNET = 1
const LOG = createLogger('silent', () => undefined)

describeRegistry('the ledger', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'subnet-ledger-'))
  const file = join(folder, 'ledger.db')
  return {
    registryOf: ({ privateKey }, subnetId = SUBNET) => new LedgerRegistry({ file, subnetId, privateKey, log: LOG }),
    stop: async () => rm(folder, { recursive: true }),
  }
})

describeReading('the ledger', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'subnet-ledger-'))
  const file = join(folder, 'ledger.db')
  const registryOf = ({ privateKey }: TestPeer, subnetId = SUBNET): LedgerRegistry =>
    new LedgerRegistry({ file, subnetId, privateKey, log: LOG })
  const writers: LedgerRegistry[] = []
  const as = (peer: TestPeer): LedgerRegistry => {
    const writer = registryOf(peer)
    writers.push(writer)
    return writer
  }
  return {
    registryOf,
    publish: async (peer, address) => void (await as(peer).publish([address])),
    remove: async (peer) => void (await as(peer).remove()),
    register: async (peer, nodeClass) => void (await as(peer).register(nodeClass)),
    unregister: async (peer) => void (await as(peer).unregister()),
    stop: async () => {
      await Promise.all(writers.map(async (writer) => writer.close()))
      await rm(folder, { recursive: true })
    },
  }
})

/** A ledger that an ordinary user can read, and in what its files differ. */
const READ_ONLY = [true, false].flatMap((wal) =>
  [true, false].flatMap((running) =>
    [0o755, 0o777].map((folderMode) => {
      const folder = folderMode === 0o755 ? 'as its folder' : 'unlike its folder'
      return { wal, running, folderMode, title: `${folder}, ${wal ? 'with' : 'without'} a log, its writer ${running ? 'running' : 'gone'}` }
    }),
  ),
)

interface Forgery {
  signer?: TestPeer
  about?: TestPeer
  subnetId?: number
  seq?: bigint
  multiaddrs?: Multiaddr[]
  removed?: boolean
  domain?: string
}

describe('the ledger', () => {
  let folder: string
  let file: string
  let peer: TestPeer
  let other: TestPeer
  let own: LedgerRegistry
  let reader: LedgerRegistry
  let logged: string[]
  const opened: Array<{ close(): unknown }> = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'subnet-ledger-'))
    file = join(folder, 'ledger.db')
    ;[peer, other] = (await newPeers(2)) as [TestPeer, TestPeer]
    logged = []
    own = open(peer)
    reader = open(other)
  })

  afterEach(async () => {
    await Promise.all(opened.splice(0).map(async (each) => each.close()))
    await rm(folder, { recursive: true })
  })

  function open(of: TestPeer, path = file): LedgerRegistry {
    const { privateKey } = of
    const registry = new LedgerRegistry({
      file: path,
      subnetId: SUBNET,
      privateKey,
      log: createLogger('warn', (line) => logged.push(line)),
    })
    opened.push(registry)
    return registry
  }

  /** The file as anybody may open it. */
  function raw(): DatabaseSync {
    const database = new DatabaseSync(file, { timeout: 1_000 })
    opened.push(database)
    return database
  }

  async function envelopeOf(forgery: Forgery): Promise<Uint8Array> {
    const { signer = peer, about = signer, subnetId = SUBNET, seq = 5n, removed = false, domain = 'subnet-ledger-record' } = forgery
    const multiaddrs = (forgery.multiaddrs ?? addresses(about, 1)).map(({ bytes }) => bytes)
    const record = create(LedgerRecordSchema, { peerId: about.peerId.toMultihash().bytes, subnetId, seq, multiaddrs, removed })
    const codec = new TextEncoder().encode('/subnet/ledger-record/1.0.0')
    const signable = { domain, codec, marshal: () => toBinary(LedgerRecordSchema, record), equals: () => false }
    return (await RecordEnvelope.seal(signable, signer.privateKey)).marshal()
  }

  /** Writes a row by hand. */
  async function write(of: TestPeer, forgery: Forgery, row: { peerId?: string; seq?: bigint; subnetId?: number } = {}): Promise<void> {
    const { peerId = of.peerId.toString(), seq = forgery.seq ?? 5n, subnetId = SUBNET } = row
    raw()
      .prepare('INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, 1, ?)')
      .run(subnetId, peerId, seq, await envelopeOf(forgery))
  }

  async function change(set: string, ...values: SQLInputValue[]): Promise<void> {
    const changed = raw()
      .prepare(`UPDATE ledger SET ${set} WHERE peer_id = ?`)
      .run(...values, peer.peerId.toString())
    assert.equal(changed.changes, 1)
  }

  const addressesOf = async (of: TestPeer) => (await reader.lookup(of.peerId)).multiaddrs.map(String)

  it('takes sequence numbers above 2^53 and records of 16 addresses', async () => {
    await own.publish(addresses(peer, 16))
    const seq = 2n ** 62n + 1n
    await write(peer, { seq, multiaddrs: addresses(peer, 16, 2_000) })
    assert.equal((await reader.lookup(peer.peerId)).seq, seq)
    assert.equal((await own.publish(addresses(peer, 1))).seq, seq + 1n)
    await assert.rejects(own.publish(addresses(peer, 17)), { code: 'USAGE', message: /1 to 16 addresses/ })
  })

  describe('ignores', () => {
    beforeEach(async () => {
      await own.publish(addresses(peer, 1))
    })

    async function ignored(of: TestPeer, reason: RegExp): Promise<void> {
      assert.equal((await reader.lookup(of.peerId)).known, false)
      assert.match(logged.join(), reason)
      assert.ok(logged.every((line) => line.includes(file)))
      assert.ok((await reader.list()).records.every(({ peerId }) => !peerId.equals(of.peerId)))
    }

    it('a record for a peer whose key the writer lacks', async () => {
      await write(other, { signer: peer, about: other })
      await ignored(other, /signed by another peer/)
    })

    it('a record of one peer in the row of another', async () => {
      await write(other, { signer: peer })
      await ignored(other, /a record of another peer/)
    })

    it('a record of a peer in a second row, under another spelling of its ID', async () => {
      await write(peer, {}, { peerId: peer.peerId.toCID().toString() })
      assert.equal((await reader.list()).records.length, 1)
      assert.match(logged.join(), /a record of another peer/)
    })

    it('a record with an address of another peer, or of none', async () => {
      await write(peer, { multiaddrs: [peer.at(1), other.at(2)] })
      await ignored(peer, /does not end in \/p2p of its peer/)
      await write(peer, { multiaddrs: addresses(peer, 1).map((address) => address.decapsulate('/p2p')) })
      await ignored(peer, /does not end in \/p2p of its peer/)
    })

    it('a record of another subnet', async () => {
      await write(peer, { subnetId: SUBNET + 1 })
      await ignored(peer, /another subnet/)
    })

    it('what the peer signed for another use', async () => {
      await write(peer, { domain: 'something-else' })
      await ignored(peer, /./)
      const { envelope, seq } = await sealPeerRecord(peer.privateKey, addresses(peer, 1), 9n)
      await change('envelope = ?, seq = ?', envelope, seq)
      await ignored(peer, /./)
    })

    it('a record of which any one byte was changed', async () => {
      const envelope = await envelopeOf({})
      for (let index = 0; index < envelope.byteLength; index++) {
        const changed = envelope.slice()
        changed[index] = (changed[index] ?? 0) ^ 0x01
        await change('envelope = ?, seq = 5', changed)
        const found = await reader.lookup(peer.peerId)
        // the wire type of a field's tag is not looked at: another spelling of the same record
        assert.ok(!found.known || found.multiaddrs.join() === addresses(peer, 1).join(), `byte ${index}`)
      }
      assert.ok(logged.length > envelope.byteLength - 10)
    })

    for (const [column, set] of [
      ['envelope', "envelope = x'0102'"],
      ['envelope (empty)', "envelope = x''"],
      ['envelope (huge)', 'envelope = zeroblob(1000000)'],
      ['seq (lower)', 'seq = seq - 1'],
      ['seq (higher)', 'seq = seq + 1'],
      ['seq (largest)', 'seq = 9223372036854775807'],
      ['seq (negative)', 'seq = -1'],
      ['peer_id', "peer_id = 'nonsense'"],
      ['subnet_id', 'subnet_id = 2'],
    ] as const) {
      it(`a row whose ${column} was changed behind its back, until its peer publishes again`, async () => {
        await change(set)
        assert.equal((await reader.lookup(peer.peerId)).known, false)
        assert.deepEqual((await reader.list()).records, [])
        const elsewhere = new LedgerRegistry({ file, subnetId: 2, privateKey: other.privateKey, log: LOG })
        opened.push(elsewhere)
        assert.equal((await elsewhere.lookup(peer.peerId)).known, false)
        assert.equal(await own.remove(), false)
        const published = await own.publish(addresses(peer, 1, 2_000))
        assert.deepEqual(await addressesOf(peer), addresses(peer, 1, 2_000).map(String))
        assert.ok(published.seq <= BigInt(Date.now() + 60_000), 'what others wrote does not drive the sequence number')
      })
    }

    it('nothing but the block, when only the revision was changed', async () => {
      for (const revision of [-5n, 2n ** 53n + 1n, 2n ** 63n - 1n]) {
        await change('revision = ?', revision)
        assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String))
        assert.ok(Number.isSafeInteger((await own.publish(addresses(peer, 1))).block))
      }
    })

    it('an older record that was put back after it had seen the newer one', async () => {
      const before = await reader.lookup(peer.peerId)
      const [old] = raw().prepare('SELECT envelope FROM ledger').all()
      await own.publish(addresses(peer, 1, 2_000))
      await addressesOf(peer)
      await change('envelope = ?, seq = ?', old?.envelope ?? null, before?.seq ?? 0n)
      await ignored(peer, /older than an earlier one/)
      assert.equal((await own.lookup(peer.peerId)).known, false, 'who published knows it too')
      assert.ok((await open(other).lookup(peer.peerId)).known, 'a reader that saw neither cannot know')
    })

    it('an older record that was put back after its peer took it out', async () => {
      const seq = (await reader.lookup(peer.peerId)).seq ?? 0n
      const [old] = raw().prepare('SELECT envelope FROM ledger').all()
      await own.remove()
      assert.deepEqual(await addressesOf(peer), [])
      await change('envelope = ?, seq = ?', old?.envelope ?? null, seq)
      await ignored(peer, /older than an earlier one/)
    })
  })

  it('leaves a mark that its peer signed when it takes its addresses out', async () => {
    const published = await own.publish(addresses(peer, 1))
    await own.remove()
    const [row] = raw().prepare('SELECT seq, length(envelope) AS bytes FROM ledger').all()
    assert.ok(Number(row?.seq) > Number(published.seq))
    assert.ok(Number(row?.bytes) > 0)
    assert.deepEqual(logged, [], 'a mark is no fault')
  })

  it('publishes above the number it published before, also when its clock went back', async () => {
    const seq = BigInt(Date.now()) + 3_600_000n
    await own.publish(addresses(peer, 1))
    await write(peer, { seq })
    assert.equal((await open(peer).publish(addresses(peer, 1, 2_000))).seq, seq + 1n)
    // the row is lost, but it remembers
    raw().exec('DELETE FROM ledger')
    assert.equal((await own.lookup(peer.peerId)).known, false)
    await write(peer, { seq: seq + 7n })
    await own.lookup(peer.peerId)
    raw().exec('DELETE FROM ledger')
    assert.equal((await own.publish(addresses(peer, 1))).seq, seq + 8n)
  })

  describe('of registrations', () => {
    interface Entry {
      signer?: TestPeer
      about?: TestPeer
      subnetId?: number
      seq?: bigint
      nodeClass?: number
      removed?: boolean
      domain?: string
    }

    async function entryOf(entry: Entry): Promise<Uint8Array> {
      const { signer = peer, about = signer, subnetId = SUBNET, seq = 5n, nodeClass = 4, removed = false } = entry
      const { domain = 'subnet-ledger-registration' } = entry
      const content = { peerId: about.peerId.toMultihash().bytes, subnetId, seq, nodeClass: nodeClass as 4, removed }
      const registration = create(LedgerRegistrationSchema, content)
      const codec = new TextEncoder().encode('/subnet/ledger-registration/1.0.0')
      const signable = { domain, codec, marshal: () => toBinary(LedgerRegistrationSchema, registration), equals: () => false }
      return (await RecordEnvelope.seal(signable, signer.privateKey)).marshal()
    }

    async function put(of: TestPeer, envelope: Uint8Array, seq = 5n, peerId = of.peerId.toString()): Promise<void> {
      raw().prepare('INSERT OR REPLACE INTO registration VALUES (?, ?, ?, 1, ?)').run(SUBNET, peerId, seq, envelope)
    }

    async function changeEntry(set: string, ...values: SQLInputValue[]): Promise<void> {
      const changed = raw()
        .prepare(`UPDATE registration SET ${set} WHERE peer_id = ?`)
        .run(...values, peer.peerId.toString())
      assert.equal(changed.changes, 1)
    }

    const isIn = async (of: TestPeer, registry = reader) => (await registry.isRegistered(of.peerId, 'registered')).registered

    async function ignored(of: TestPeer, reason: RegExp): Promise<void> {
      assert.equal(await isIn(of), false)
      assert.match(logged.join(), reason)
      assert.ok(logged.every((line) => line.includes(file) && /: registration of \S+ ignored/.test(line)))
    }

    it('has one that its peer signed, whoever wrote it into the file', async () => {
      await own.register('registered')
      const later = 2n ** 62n
      await put(peer, await entryOf({ seq: later, nodeClass: 3 }), later)
      assert.equal((await reader.isRegistered(peer.peerId, 'included')).registered, true)
      assert.equal((await reader.isRegistered(peer.peerId, 'validator')).registered, false)
      assert.deepEqual(logged, [])
    })

    it('has nothing to do with addresses', async () => {
      await own.register('validator')
      const { known, multiaddrs, nodeClass } = await own.lookup(peer.peerId)
      assert.deepEqual([known, multiaddrs, nodeClass, await own.remove()], [true, [], 'validator', false])
      const [listed, ...others] = (await own.list()).records
      assert.deepEqual([listed?.peerId.equals(peer.peerId), listed?.multiaddrs, others], [true, [], []])
      await reader.publish(addresses(other, 1))
      assert.equal(await isIn(other), false)
      await own.publish(addresses(peer, 1))
      await own.unregister()
      assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String))
      await own.register('idle')
      await own.remove()
      assert.equal(await isIn(peer), true)
    })

    it('counts one revision for both', async () => {
      const blocks = [
        (await own.register('idle')).block,
        (await own.publish(addresses(peer, 1))).block,
        (await reader.publish(addresses(other, 1))).block,
        (await reader.register('idle')).block,
      ]
      assert.deepEqual(blocks, [1, 2, 3, 4])
      assert.equal(reader.state().block, 4)
    })

    it('names no bootnodes', async () => {
      await own.register('validator')
      assert.deepEqual((await reader.bootnodes()).records, [])
    })

    describe('ignores', () => {
      beforeEach(async () => {
        await own.register('idle')
      })

      it('one for a peer whose key the writer lacks', async () => {
        await put(other, await entryOf({ signer: peer, about: other }))
        await ignored(other, /signed by another peer/)
      })

      it('one that was put into the row of another', async () => {
        await put(other, await entryOf({}))
        await ignored(other, /a record of another peer/)
        raw().exec("UPDATE registration SET peer_id = 'x' || peer_id")
        assert.equal(await isIn(peer), false)
      })

      it('one of another subnet', async () => {
        await put(peer, await entryOf({ subnetId: SUBNET + 1 }))
        await ignored(peer, /another subnet/)
        await changeEntry('subnet_id = 2')
        const elsewhere = new LedgerRegistry({ file, subnetId: 2, privateKey: other.privateKey, log: LOG })
        opened.push(elsewhere)
        assert.equal(await isIn(peer, elsewhere), true, 'there it counts')
      })

      it('one of a class that is none', async () => {
        for (const nodeClass of [0, NODE_CLASSES.length + 1, -1]) {
          logged.length = 0
          await put(peer, await entryOf({ nodeClass }))
          await ignored(peer, /unknown class/)
        }
      })

      it('what the peer signed for another use, its addresses as well', async () => {
        await put(peer, await entryOf({ domain: 'subnet-ledger-record' }))
        await ignored(peer, /./)
        await put(peer, await envelopeOf({ multiaddrs: [] }))
        await ignored(peer, /./)
        await own.publish(addresses(peer, 1))
        await put(peer, await entryOf({}))
        raw().exec('UPDATE ledger SET (seq, envelope) = (SELECT seq, envelope FROM registration)')
        assert.deepEqual((await reader.lookup(peer.peerId)).multiaddrs, [], 'nor is a registration an address')
      })

      it('one of which any one byte was changed', async () => {
        const envelope = await entryOf({ nodeClass: 2 })
        for (let index = 0; index < envelope.byteLength; index++) {
          const changed = envelope.slice()
          changed[index] = (changed[index] ?? 0) ^ 0x01
          await changeEntry('envelope = ?, seq = 5', changed)
          assert.equal((await reader.isRegistered(peer.peerId, 'included')).registered, false, `byte ${index}`)
        }
        assert.ok(logged.length > envelope.byteLength - 10)
      })

      it('one that says less than was signed, or nothing, until its peer registers again', async () => {
        for (const set of ["envelope = x'0102'", "envelope = x''", 'envelope = zeroblob(1000000)', 'seq = seq + 1', 'seq = -1']) {
          await changeEntry(set)
          assert.equal(await isIn(peer), false, set)
          assert.equal(await own.unregister(), false)
          await own.register('idle')
          assert.equal(await isIn(peer), true)
        }
      })

      it('an older one that was put back after its peer left, or lost its class', async () => {
        const [old] = raw().prepare('SELECT CAST(seq AS TEXT) AS seq, envelope FROM registration').all()
        const putBack = async () => changeEntry('envelope = ?, seq = ?', old?.envelope ?? null, BigInt(String(old?.seq)))
        await own.register('registered')
        assert.equal(await isIn(peer), true)
        await putBack()
        await ignored(peer, /older than an earlier one/)
        await own.register('registered')
        await own.unregister()
        assert.equal(await isIn(peer), false)
        await putBack()
        await ignored(peer, /older than an earlier one/)
        assert.equal(await own.unregister(), false, 'who left knows it too')
        assert.equal(await isIn(peer, open(other)), true, 'a reader that saw neither cannot know')
      })
    })

    it('tells also of a row that went away, and of one that was changed behind its back', async () => {
      await own.register('idle')
      const enough = new AbortController()
      const changes = reader.watch({ signal: enough.signal })[Symbol.asyncIterator]()
      await isIn(peer)
      const next = async () => ((await changes.next()).value as ChainChange).peers?.map(String)
      await changeEntry("envelope = x'0102'")
      assert.deepEqual(await next(), [peer.peerId.toString()])
      raw().exec('DELETE FROM registration')
      assert.deepEqual(await next(), [peer.peerId.toString()])
      await put(peer, await entryOf({}), 5n, 'nonsense')
      await reader.register('idle')
      assert.deepEqual(await next(), [other.peerId.toString()], 'what is no peer is not told')
      enough.abort()
      assert.equal((await changes.next()).done, true)
    })

    it('is watched also before the file is there', async () => {
      const enough = new AbortController()
      const changes = reader.watch({ signal: enough.signal })[Symbol.asyncIterator]()
      const first = changes.next()
      await reader.list()
      assert.deepEqual(await readdir(folder), [])
      await own.register('idle')
      assert.deepEqual(((await first).value as ChainChange).peers?.map(String), [peer.peerId.toString()])
      enough.abort()
    })

    describe('in a file of an older version, without their table', () => {
      beforeEach(async () => {
        await own.publish(addresses(peer, 1))
        await own.close()
        raw().exec('DROP TABLE registration; PRAGMA user_version = 0')
      })

      it('has nobody registered, until somebody is', async () => {
        assert.equal(await isIn(peer), false)
        assert.equal(await own.unregister(), false)
        assert.deepEqual(raw().prepare('SELECT name FROM sqlite_schema').all().length, 1, 'reading changes nothing')
        assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String))
        await own.register('idle')
        assert.equal(await isIn(peer), true)
        assert.deepEqual(logged, [])
      })

      it('has nobody registered where it is read-only', async () => {
        await Promise.all([...opened.splice(0).map(async (each) => each.close()), chmod(file, 0o444), chmod(folder, 0o777)])
        await asAnyUser(async () => {
          assert.equal(await isIn(peer), false)
          assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String))
          await assert.rejects(reader.register('idle'), { code: 'CHAIN_UNAVAILABLE', hint: /must be writable/ })
          assert.match(reader.state().lastError ?? '', /cannot be written: permission denied/)
        })
      })

      it('takes those of many who make the table at once', async () => {
        const peers = await newPeers(8)
        await Promise.all(peers.map(async (each) => open(each).register('included')))
        for (const each of peers) {
          assert.equal(await isIn(each), true)
        }
      })

      for (const [what, lure] of [
        ['another table', 'CREATE TABLE registration (subnet_id, peer_id, seq, revision, envelope)'],
        ['a table in other letters', 'CREATE TABLE Registration (subnet_id, peer_id, seq, revision, envelope)'],
        ['a view', 'CREATE VIEW registration AS SELECT * FROM ledger'],
        ['an index', 'CREATE INDEX registration ON ledger (revision)'],
      ] as const) {
        it(`is no chain where ${what} has that name, also after it was opened`, async () => {
          assert.equal(await isIn(peer), false)
          raw().exec(lure)
          for (const registry of [reader, open(other)]) {
            const refused = { code: 'CHAIN_UNAVAILABLE', message: /not a ledger/ }
            await assert.rejects(registry.isRegistered(peer.peerId, 'registered'), refused)
            await assert.rejects(registry.register('idle'), refused)
          }
        })
      }

      it('is no chain once somebody gave it a trigger', async () => {
        await own.register('idle')
        assert.equal(await isIn(peer), true)
        raw().exec('CREATE TRIGGER t AFTER INSERT ON registration BEGIN DELETE FROM ledger; END')
        await assert.rejects(reader.register('idle'), { code: 'CHAIN_UNAVAILABLE', message: /not a ledger/ })
        assert.deepEqual(raw().prepare('SELECT count(*) AS rows FROM ledger').get()?.rows, 1)
      })
    })

    it('answers a thousand questions at once without holding up the event loop', async () => {
      const peers = await newPeers(1_000)
      await own.register('idle')
      const insert = raw().prepare('INSERT INTO registration VALUES (?, ?, 5, 1, ?)')
      for (const each of peers) {
        insert.run(SUBNET, each.peerId.toString(), await entryOf({ signer: each }))
      }
      let turns = 0
      const counting = setInterval(() => turns++, 1)
      const answers = await Promise.all(peers.map(async (each) => isIn(each)))
      clearInterval(counting)
      assert.ok(answers.every(Boolean))
      assert.ok(turns >= 5, `the timers had ${turns} turns`)
    })
  })

  describe('with a file that is', () => {
    it('not there: it is empty, and reading makes no file', async () => {
      assert.equal((await reader.lookup(peer.peerId)).known, false)
      assert.deepEqual((await reader.list()).records, [])
      assert.equal(await own.remove(), false)
      assert.deepEqual(await readdir(folder), [])
      await own.publish(addresses(peer, 1))
      assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String))
    })

    it('in a folder that is not there: there is no chain', async () => {
      await unavailable(join(folder, 'nowhere', 'ledger.db'))
    })

    it('a directory: there is no chain', async () => {
      await mkdir(join(folder, 'directory'))
      await unavailable(join(folder, 'directory'))
    })

    it('not SQLite: there is no chain, and the file stays as it was', async () => {
      await writeFile(file, 'this is a text, and long enough not to be taken for an empty database\n'.repeat(20))
      const names = await readdir(folder)
      await unavailable(file)
      assert.deepEqual(await readdir(folder), names)
    })

    it('another SQLite database: there is no chain', async () => {
      raw().exec('CREATE TABLE ledger (something_else TEXT)')
      await unavailable(file)
    })

    it('a ledger only by name, a view or one with a trigger, whose author would have his program run: there is no chain', async () => {
      const lures = [
        'CREATE VIEW ledger AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS subnet_id, x AS peer_id FROM n',
        'CREATE TABLE ledger (subnet_id, peer_id, seq, revision, envelope)',
      ]
      for (const lure of lures) {
        await rm(file, { force: true })
        raw().exec(lure)
        await assert.rejects(open(other).lookup(peer.peerId), { code: 'CHAIN_UNAVAILABLE', message: /not a ledger/ })
      }
      await rm(file, { force: true })
      await own.publish(addresses(peer, 1))
      raw().exec('CREATE TRIGGER t AFTER INSERT ON ledger BEGIN DELETE FROM ledger; END')
      await assert.rejects(open(other).lookup(peer.peerId), { code: 'CHAIN_UNAVAILABLE', message: /not a ledger/ })
    })

    it('there only after the first try: it is tried again', async () => {
      const late = join(folder, 'late')
      const registry = await unavailable(join(late, 'ledger.db'))
      await mkdir(late)
      assert.equal((await registry.publish(addresses(peer, 1))).multiaddrs.length, 1)
    })

    async function unavailable(path: string): Promise<LedgerRegistry> {
      const registry = open(peer, path)
      const error = (thrown: ChainError) => {
        assert.equal(thrown.code, 'CHAIN_UNAVAILABLE')
        assert.ok(thrown.message.startsWith(`ledger ${path}`), thrown.message)
        assert.match(thrown.hint ?? '', /--chain/)
        return true
      }
      await assert.rejects(registry.lookup(peer.peerId), error)
      await assert.rejects(registry.list(), error)
      await assert.rejects(registry.publish(addresses(peer, 1)), error)
      await assert.rejects(registry.remove(), error)
      await assert.rejects(registry.isRegistered(peer.peerId, 'registered'), error)
      await assert.rejects(registry.register('idle'), error)
      await assert.rejects(registry.unregister(), error)
      const { endpoint, block, lagMs, lastError = '', failures } = registry.state()
      assert.deepEqual({ endpoint, block, lagMs }, { endpoint: path, block: undefined, lagMs: undefined })
      assert.ok(failures >= 7, `${failures} failures`)
      assert.ok(lastError.startsWith(`ledger ${path}`))
      return registry
    }
  })

  describe('that may only be read', () => {
    for (const { title, wal, running, folderMode } of READ_ONLY) {
      it(`${title}, is read, and publishing says what is wrong`, async () => {
        await own.publish(addresses(peer, 1))
        const writer = raw()
        writer.exec('SELECT count(*) FROM ledger')
        await own.close()
        writer.exec(`PRAGMA journal_mode = ${wal ? 'WAL' : 'DELETE'}`)
        if (!running) {
          opened.pop()
          writer.close()
        }
        await readOnly(folderMode)
        const files = await readdir(folder)
        await asAnyUser(async () => {
          assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String))
          assert.equal((await reader.list()).records.length, 1)
          await assert.rejects(reader.publish(addresses(other, 1)), { code: 'CHAIN_UNAVAILABLE', hint: /must be writable/ })
          assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String))
          assert.equal(reader.state().lastError, undefined)
        })
        // a file of the reader's own would keep the writer from writing
        assert.deepEqual(await readdir(folder), files)
      })
    }

    it('is read again when its writer writes, though the log was not there at first', async () => {
      await own.publish(addresses(peer, 1))
      await own.close()
      await readOnly(0o755)
      const stop = new AbortController()
      const watching = reader.watch({ signal: stop.signal })[Symbol.asyncIterator]()
      await asAnyUser(async () => assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String)))
      await own.publish(addresses(peer, 1, 2_000))
      await asAnyUser(async () => {
        assert.deepEqual(await addressesOf(peer), addresses(peer, 1, 2_000).map(String))
        const { value } = await watching.next()
        assert.deepEqual((value as ChainChange).peers?.map(String), [peer.peerId.toString()])
      })
      await own.close()
      await asAnyUser(async () => assert.deepEqual(await addressesOf(peer), addresses(peer, 1, 2_000).map(String)))
      stop.abort()
    })

    it('and then be written too, is written without a new start', async () => {
      await own.publish(addresses(peer, 1))
      await own.close()
      await readOnly(0o777)
      const writer = open(other)
      await asAnyUser(async () => {
        await assert.rejects(writer.publish(addresses(other, 1)), { code: 'CHAIN_UNAVAILABLE', hint: /must be writable/ })
      })
      await chmod(file, 0o666)
      await asAnyUser(async () => {
        assert.equal((await writer.publish(addresses(other, 1))).multiaddrs.length, 1)
      })
    })

    it('by another user, is no chain, and is not taken for an empty one', async () => {
      await own.publish(addresses(peer, 1))
      await own.close()
      await chmod(folder, 0o700)
      await asAnyUser(async () => {
        await assert.rejects(reader.lookup(peer.peerId), { code: 'CHAIN_UNAVAILABLE', message: /permission denied/ })
      })
    })

    /** Every file of the ledger may only be read. */
    async function readOnly(folderMode: number): Promise<void> {
      const files = await readdir(folder)
      await Promise.all([...files.map(async (name) => chmod(join(folder, name), 0o444)), chmod(folder, folderMode)])
    }
  })

  describe('that another holds', () => {
    const HELD_MS = 300

    /** Locks the file; it is let go by a timer, which only fires if nobody blocks the event loop. */
    function hold(): { released: Promise<void>; isHeld: () => boolean } {
      const holder = raw()
      holder.exec('BEGIN EXCLUSIVE')
      let held = true
      const { promise, resolve } = Promise.withResolvers<void>()
      setTimeout(() => {
        held = false
        holder.exec('COMMIT')
        resolve()
      }, HELD_MS)
      return { released: promise, isHeld: () => held }
    }

    it('is waited for outside the event loop', async () => {
      await own.publish(addresses(peer, 1))
      const { released, isHeld } = hold()
      await own.publish(addresses(peer, 1, 2_000))
      assert.equal(isHeld(), false)
      await released
      assert.deepEqual(await addressesOf(peer), addresses(peer, 1, 2_000).map(String))
    })

    it('is waited for when it is opened, to read and to write', async () => {
      raw().exec('CREATE TABLE unrelated (a)')
      const { released, isHeld } = hold()
      const [listed, published] = await Promise.all([reader.list(), own.publish(addresses(peer, 1))])
      assert.equal(isHeld(), false)
      await released
      assert.ok(listed.records.length <= 1)
      assert.equal(published.multiaddrs.length, 1)
    })

    it('is not waited for longer than the caller wants', async () => {
      await own.publish(addresses(peer, 1))
      const { released } = hold()
      const giveUp = new AbortController()
      const reason = new Error('enough')
      setTimeout(() => giveUp.abort(reason), HELD_MS / 3)
      await assert.rejects(own.publish(addresses(peer, 1, 2_000), { signal: giveUp.signal }), (error) => error === reason)
      await released
      assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String))
    })
  })
})
