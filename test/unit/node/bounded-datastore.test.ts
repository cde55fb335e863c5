import assert from 'node:assert/strict'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Libp2p, PeerId } from '@libp2p/interface'
import { Key } from 'interface-datastore'
import { BoundedDatastore } from '../../../src/node/adapters/bounded-datastore.ts'
import { somebody } from '../../support/keys.ts'

const NO_BYTES = new Uint8Array()
/** Good protobuf, as a stored peer has to be. */
const VALUE = Uint8Array.of(8, 1)

/** As many entries as that in each space, of whatever size. */
function storeOf(entries: number): BoundedDatastore {
  const bounds = { entries, bytes: Number.POSITIVE_INFINITY, entryBytes: Number.POSITIVE_INFINITY }
  return new BoundedDatastore(['/peers/', '/dht/record/', '/dht/provider/', '/'].map((prefix) => [prefix, bounds]))
}

function peers(count: number): PeerId[] {
  return Array.from({ length: count }, somebody)
}

function keyOf(peerId: PeerId): string {
  return `/peers/${peerId.toCID().toString()}`
}

/** All that the memory sees of a node. */
function nodeWith(peerId: PeerId, connected: PeerId[]): Libp2p {
  const getConnections = (peer: PeerId): unknown[] => connected.filter((other) => other.equals(peer))
  return Object.assign(new EventTarget(), { peerId, getConnections }) as unknown as Libp2p
}

/** A stored peer with a tag, as libp2p writes it. */
function taggedPeer(tag: string): Uint8Array {
  const entry = new BinaryWriter().tag(1, WireType.LengthDelimited).string(tag).tag(2, WireType.LengthDelimited).bytes(NO_BYTES)
  return new BinaryWriter().tag(7, WireType.LengthDelimited).bytes(entry.finish()).finish()
}

function put(store: BoundedDatastore, names: string[], value: Uint8Array = VALUE): void {
  for (const name of names) {
    store.put(new Key(name), value)
  }
}

function keptOf(store: BoundedDatastore, names: string[]): string[] {
  return names.filter((name) => store.has(new Key(name)))
}

describe('the memory of libp2p', () => {
  for (const space of ['/dht/provider/', '/dht/record/', '/unknown/']) {
    it(`forgets what is oldest under ${space} when there is too much, and nothing else`, () => {
      const store = storeOf(2)
      const names = ['a', 'b', 'a', 'c'].map((name) => `${space}${name}`)
      const others = ['/peers/x', '/dht/record/x', '/dht/provider/x', '/unknown/x'].filter((name) => !name.startsWith(space))
      put(store, others)
      put(store, names)
      assert.deepEqual(keptOf(store, [...others, ...names.slice(0, 2), names[3] ?? '']), [...others, `${space}a`, `${space}c`])
    })
  }

  it('has room again for what was deleted', () => {
    const store = storeOf(1)
    put(store, ['/dht/record/a'])
    store.delete(new Key('/dht/record/a'))
    put(store, ['/dht/record/b'])
    assert.equal(store.has(new Key('/dht/record/b')), true)
  })

  it('bounds the bytes of keys and values too, and refuses what is too large by itself', () => {
    const store = new BoundedDatastore([['/', { entries: 100, bytes: 30, entryBytes: 20 }]])
    put(store, ['/a', '/b'], new Uint8Array(10))
    put(store, ['/c'], new Uint8Array(15))
    assert.throws(() => put(store, ['/b'], new Uint8Array(19)), RangeError)
    assert.deepEqual(keptOf(store, ['/a', '/b', '/c']), ['/b', '/c'])
    assert.equal(store.get(new Key('/b')).byteLength, 10)
  })

  it('leaves the addresses of a peer out where they are too many, and nothing else', () => {
    const store = new BoundedDatastore([['/', { entries: 100, bytes: 1_000, entryBytes: 200 }]])
    const [name = ''] = peers(1).map(keyOf)
    const [address, protocol] = [Buffer.alloc(50), Buffer.from('/a/protocol')]
    const told = new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(protocol).tag(8, WireType.Varint).uint64(Date.now()).finish()
    const addresses = [1, 2, 3].map(() => new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(address).finish())
    put(store, [name], Buffer.concat([...addresses, told]))
    assert.deepEqual([...store.get(new Key(name))], [...told])
    const tooManyProtocols = Buffer.concat(Array.from({ length: 20 }, () => told))
    assert.throws(() => put(store, [name], tooManyProtocols), RangeError)
  })

  it('stores all of what the node itself serves', () => {
    const store = new BoundedDatastore([['/', { entries: 100, bytes: 1_000, entryBytes: 100 }]])
    const self = somebody()
    store.follow(nodeWith(self, []))
    put(store, [keyOf(self)], new Uint8Array(500))
    assert.equal(store.get(new Key(keyOf(self))).byteLength, 500)
  })

  it('keeps a copy of a value, of its own size', () => {
    const store = storeOf(1)
    const buffer = new Uint8Array(65_536)
    put(store, ['/a'], buffer.subarray(7, 9))
    buffer.fill(1)
    const stored = store.get(new Key('/a'))
    assert.deepEqual([...stored], [0, 0])
    assert.equal(stored.buffer.byteLength, 2)
  })

  it('never forgets connected peers and the node itself, however many they are and however old', () => {
    const store = storeOf(10)
    const [self, connected, strangers] = [somebody(), peers(40), peers(60)]
    store.follow(nodeWith(self, connected))
    put(store, [self, ...connected, ...strangers].map(keyOf))
    assert.deepEqual(keptOf(store, [self, ...connected].map(keyOf)), [self, ...connected].map(keyOf))
    assert.ok(keptOf(store, strangers.map(keyOf)).length <= 10)
  })

  it('counts a peer as new again when it disconnects', () => {
    const store = storeOf(2)
    const connected = peers(1)
    const [guest = somebody()] = connected
    const [old = '', newer = ''] = peers(2).map(keyOf)
    const node = nodeWith(somebody(), connected)
    store.follow(node)
    put(store, [keyOf(guest), old])
    connected.pop()
    node.dispatchEvent(new CustomEvent('peer:disconnect', { detail: guest }))
    put(store, [newer])
    assert.deepEqual(keptOf(store, [keyOf(guest), old, newer]), [keyOf(guest), newer])
  })

  it('forgets peers with a lasting tag after all others', () => {
    const store = storeOf(3)
    const [kept = '', routed = '', ...others] = peers(6).map(keyOf)
    put(store, [kept], taggedPeer('keep-alive'))
    put(store, [routed], taggedPeer('kad-peer'))
    put(store, others, taggedPeer('some-other-tag'))
    assert.deepEqual(keptOf(store, [kept, routed, ...others]), [kept, routed, others.at(-1)])
    const tagged = peers(2).map(keyOf)
    put(store, tagged, taggedPeer('keep-alive'))
    assert.equal(keptOf(store, [kept, routed, ...others, ...tagged]).length, 3)
    assert.deepEqual(keptOf(store, others), [])
  })

  it('gives what is under a prefix, also while it is put again', () => {
    const store = storeOf(10)
    put(store, ['/dht/record/a', '/dht/provider/a/b', '/dht/provider/ab/c', '/peers/a'])
    const found: string[] = []
    for (const { key } of store.query({ prefix: '/dht/provider/a/' }) as Generator<{ key: Key }>) {
      store.put(key, VALUE)
      found.push(key.toString())
    }
    assert.deepEqual(found, ['/dht/provider/a/b'])
    const keys = [...(store.queryKeys({ prefix: '/dht' }) as Generator<Key>)].map(String)
    assert.deepEqual(keys.sort(), ['/dht/provider/a/b', '/dht/provider/ab/c', '/dht/record/a'])
  })
})
