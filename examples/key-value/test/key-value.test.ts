import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createNode, type SubnetNode } from 'subnet-cli'
import KeyValue, { Reason } from '../src/index.ts'

const MAX_ENTRIES = 150

let folder: string
/** The node that keeps the entries, and three that ask it. */
let server: SubnetNode
let alice: SubnetNode
let bob: SubnetNode
let stranger: SubnetNode
/** The protocol on the three. */
let hers: KeyValue
let his: KeyValue
let strangers: KeyValue
const audited: string[] = []

async function start(name: string): Promise<SubnetNode> {
  const node = await createNode({ home: join(folder, name), settings: { listen: '/ip4/127.0.0.1/tcp/0' } })
  await node.start()
  return node
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'key-value-'))
  server = await start('server')
  alice = await start('alice')
  bob = await start('bob')
  stranger = await start('stranger')
  const keeper = new KeyValue(server, {
    maxEntries: MAX_ENTRIES,
    mayWrite: (peerId) => !peerId.equals(stranger.peerId),
    audit: (line) => audited.push(line),
  })
  await keeper.ready
  hers = new KeyValue(alice)
  his = new KeyValue(bob)
  strangers = new KeyValue(stranger)
})

after(async () => {
  await Promise.all([server, alice, bob, stranger].map(async (node) => node.stop()))
  await rm(folder, { recursive: true })
})

test('keeps what was put, for everybody, until it is deleted', async () => {
  const to = server.multiaddrs
  await hers.put(to, 'colour', 'green')
  await hers.put(to, 'colour', 'blue')
  const there = await his.get(to, 'colour')
  assert.deepEqual([there?.value, there?.owner], ['blue', alice.peerId.toString()])
  await hers.delete(to, 'colour')
  assert.equal(await his.get(to, 'colour'), undefined)
})

test('lets nobody but its owner change a key', async () => {
  const to = server.multiaddrs
  await hers.put(to, 'mine', '1')
  const refusal = { reason: Reason.NOT_ALLOWED, message: `the key belongs to ${alice.peerId}` }
  await assert.rejects(his.put(to, 'mine', '2'), refusal)
  await assert.rejects(his.delete(to, 'mine'), refusal)
  assert.equal((await his.get(to, 'mine'))?.value, '1')
  await hers.delete(to, 'mine')
})

test('lets a peer that may not write read, and tells it why it may not write', async () => {
  const to = server.multiaddrs
  await assert.rejects(strangers.put(to, 'a', 'b'), { reason: Reason.NOT_ALLOWED, message: `${stranger.peerId} may not write here` })
  assert.equal(await strangers.get(to, 'a'), undefined)
})

test('tells of each request, of whom, and how it ended', async () => {
  audited.length = 0
  await hers.list(server.multiaddrs)
  await assert.rejects(strangers.delete(server.multiaddrs, 'a'))
  const lines = audited.map((line) => line.replace(/[\d.]+ ms/, 'MS'))
  assert.deepEqual(lines, [`list of ${alice.peerId} answered in MS`, `delete of ${stranger.peerId} failed in MS`])
})

test('refuses keys and values of a wrong size', async () => {
  const to = server.multiaddrs
  await assert.rejects(hers.put(to, '', 'x'), { reason: Reason.INVALID, message: 'a key has 1 to 256 bytes, this one 0' })
  await assert.rejects(hers.put(to, 'ä'.repeat(129), 'x'), { reason: Reason.INVALID })
  await assert.rejects(hers.put(to, 'long', 'x'.repeat(32 * 1024 + 1)), { reason: Reason.INVALID })
  // what is over the protocol's limit is not even sent
  await assert.rejects(hers.put(to, 'long', 'x'.repeat(64 * 1024)), { code: 'LIMIT_EXCEEDED', mayHaveActed: false })
})

test('lists by prefix, a page at a time, and takes no new keys when it is full', async () => {
  const to = server.multiaddrs
  const keys = Array.from({ length: MAX_ENTRIES }, (_, index) => `n/${String(index).padStart(3, '0')}`)
  await Promise.all(keys.map(async (key) => hers.put(to, key, key)))
  await assert.rejects(his.put(to, 'one more', 'x'), { reason: Reason.FULL })
  await hers.put(to, 'n/000', 'an old key may still change')
  const first = await his.list(to, { prefix: 'n/' })
  const second = await his.list(to, { prefix: 'n/', after: first.keys.at(-1) ?? '' })
  assert.deepEqual([...first.keys, ...second.keys], keys)
  assert.deepEqual([first.more, second.more], [true, false])
  assert.deepEqual((await his.list(to, { prefix: 'm/' })).keys, [])
})
