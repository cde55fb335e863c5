import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { create, toBinary } from '@bufbuild/protobuf'
import { RecordEnvelope } from '@libp2p/peer-record'
import type { Multiaddr } from '@multiformats/multiaddr'
import { LedgerRegistry } from '../../../src/chain/drivers/ledger.ts'
import type { ChainError } from '../../../src/chain/registry.ts'
import { LedgerRecordSchema } from '../../../src/gen/subnet/ledger/v1/ledger_pb.ts'
import { sealPeerRecord } from '../../../src/gossip/peer-record.ts'
import { createLogger } from '../../../src/primitives/log.ts'
import { addresses, newPeers, type TestPeer } from '../../support/keys.ts'
import { describeRegistry } from '../../support/registry-compliance.ts'

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

  const addressesOf = async (of: TestPeer) => (await reader.lookup(of.peerId))?.multiaddrs.map(String)

  it('takes sequence numbers above 2^53 and records of 16 addresses', async () => {
    await own.publish(addresses(peer, 16))
    const seq = 2n ** 62n + 1n
    await write(peer, { seq, multiaddrs: addresses(peer, 16, 2_000) })
    assert.equal((await reader.lookup(peer.peerId))?.seq, seq)
    assert.equal((await own.publish(addresses(peer, 1))).seq, seq + 1n)
    await assert.rejects(own.publish(addresses(peer, 17)), { code: 'USAGE', message: /1 to 16 addresses/ })
  })

  describe('ignores', () => {
    beforeEach(async () => {
      await own.publish(addresses(peer, 1))
    })

    async function ignored(of: TestPeer, reason: RegExp): Promise<void> {
      assert.equal(await reader.lookup(of.peerId), undefined)
      assert.match(logged.join(), reason)
      assert.ok(logged.every((line) => line.includes(file)))
      assert.ok((await reader.list()).every(({ peerId }) => !peerId.equals(of.peerId)))
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
      assert.equal((await reader.list()).length, 1)
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
        assert.ok(found == null || found.multiaddrs.join() === addresses(peer, 1).join(), `byte ${index}`)
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
        assert.equal(await reader.lookup(peer.peerId), undefined)
        assert.deepEqual(await reader.list(), [])
        const elsewhere = new LedgerRegistry({ file, subnetId: 2, privateKey: other.privateKey, log: LOG })
        opened.push(elsewhere)
        assert.equal(await elsewhere.lookup(peer.peerId), undefined)
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
      await ignored(peer, /older than the one that was here/)
      assert.equal(await own.lookup(peer.peerId), undefined, 'who published knows it too')
      assert.ok((await open(other).lookup(peer.peerId)) != null, 'a reader that saw neither cannot know')
    })

    it('an older record that was put back after its peer took it out', async () => {
      const seq = (await reader.lookup(peer.peerId))?.seq ?? 0n
      const [old] = raw().prepare('SELECT envelope FROM ledger').all()
      await own.remove()
      assert.equal(await addressesOf(peer), undefined)
      await change('envelope = ?, seq = ?', old?.envelope ?? null, seq)
      await ignored(peer, /older than the one that was here/)
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
    assert.equal((await open(peer).publish(addresses(peer, 1))).seq, seq + 1n)
    // the row is lost, but it remembers
    raw().exec('DELETE FROM ledger')
    assert.equal(await own.lookup(peer.peerId), undefined)
    await write(peer, { seq: seq + 7n })
    await own.lookup(peer.peerId)
    raw().exec('DELETE FROM ledger')
    assert.equal((await own.publish(addresses(peer, 1))).seq, seq + 8n)
  })

  describe('with a file that is', () => {
    it('not there: it is empty, and reading makes no file', async () => {
      assert.equal(await reader.lookup(peer.peerId), undefined)
      assert.deepEqual(await reader.list(), [])
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
        assert.ok(thrown.message.startsWith(`ledger ${path}: `), thrown.message)
        assert.match(thrown.hint ?? '', /--chain/)
        return true
      }
      await assert.rejects(registry.lookup(peer.peerId), error)
      await assert.rejects(registry.list(), error)
      await assert.rejects(registry.publish(addresses(peer, 1)), error)
      await assert.rejects(registry.remove(), error)
      return registry
    }

    it('read-only: it is read, and publishing says what is wrong', async () => {
      await own.publish(addresses(peer, 1))
      await Promise.all([own.close(), chmod(file, 0o444), chmod(folder, 0o777)])
      await asAnyUser(async () => {
        assert.deepEqual(await addressesOf(peer), addresses(peer, 1).map(String))
        await assert.rejects(reader.publish(addresses(other, 1)), { code: 'CHAIN_UNAVAILABLE', hint: /must be writable/ })
      })
    })
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
      assert.ok(listed.length <= 1)
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

/** Runs work with the rights of an ordinary user: root may write what is read-only. */
async function asAnyUser(work: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) {
    process.seteuid?.(65_534)
  }
  try {
    await work()
  } finally {
    if (isRoot) {
      process.seteuid?.(0)
    }
  }
}
