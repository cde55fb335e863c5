import assert from 'node:assert/strict'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Stream } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { filterMessages } from '../../../src/node/adapters/dht-messages.ts'
import { newPeer } from '../../support/keys.ts'
import { Emitter } from '../../support/streams.ts'

interface Answer {
  /** Of the fields beside peers, as text. */
  rest: string
  peers: Array<{ field: number; id: string; addresses: string[] }>
}

const TYPE_AND_KEY = new BinaryWriter().tag(1, WireType.Varint).int32(4).tag(2, WireType.LengthDelimited).bytes(Buffer.from('key')).finish()

function peer(id: Uint8Array, addresses: Uint8Array[]): Uint8Array {
  const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(id)
  for (const address of addresses) {
    writer.tag(2, WireType.LengthDelimited).bytes(address)
  }
  return writer.tag(3, WireType.Varint).int32(1).finish()
}

function message(peers: Uint8Array[], field = 8): Uint8Array {
  const writer = new BinaryWriter().raw(TYPE_AND_KEY)
  for (const bytes of peers) {
    writer.tag(field, WireType.LengthDelimited).bytes(bytes)
  }
  return writer.finish()
}

function framed(bytes: Uint8Array): Uint8Array {
  return new BinaryWriter().bytes(bytes).finish()
}

function read(bytes: Uint8Array): Answer {
  const reader = new BinaryReader(bytes)
  const answer: Answer = { rest: '', peers: [] }
  while (reader.pos < reader.len) {
    const start = reader.pos
    const [field, wireType] = reader.tag()
    if (field !== 8 && field !== 9) {
      reader.skip(wireType)
      answer.rest += Buffer.from(bytes.subarray(start, reader.pos)).toString('hex')
      continue
    }
    const inner = new BinaryReader(reader.bytes())
    const found = { field, id: '', addresses: [] as string[] }
    while (inner.pos < inner.len) {
      const [part, type] = inner.tag()
      if (part === 1) {
        found.id = Buffer.from(inner.bytes()).toString('hex')
      } else if (part === 2) {
        found.addresses.push(multiaddr(inner.bytes()).toString())
      } else {
        inner.skip(type)
      }
    }
    answer.peers.push(found)
  }
  return answer
}

const ALL = (_peer: string, addresses: Multiaddr[]): Multiaddr[] => addresses

describe('messages of the DHT', () => {
  let id: Uint8Array
  let text: string

  before(async () => {
    const { peerId } = await newPeer()
    id = peerId.toMultihash().bytes
    text = peerId.toString()
  })

  /** What of these bytes comes through, in pieces of this size. */
  function through(bytes: Uint8Array, choose = ALL, pieceBytes = bytes.byteLength): { answers: Answer[]; emitter: Emitter } {
    const emitter = new Emitter()
    const received: Uint8Array[] = []
    filterMessages(emitter as unknown as Stream, choose).addEventListener('message', ({ data }) => received.push(data.subarray()))
    for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
      emitter.receives(bytes.subarray(at, at + pieceBytes))
    }
    const reader = new BinaryReader(Buffer.concat(received))
    const answers: Answer[] = []
    while (reader.pos < reader.len) {
      answers.push(read(reader.bytes()))
    }
    return { answers, emitter }
  }

  function at(...addresses: string[]): Uint8Array[] {
    return addresses.map((address) => multiaddr(address).bytes)
  }

  it('come through as they are, but for what they name, however they are cut', () => {
    const bytes = Buffer.concat([framed(message([])), framed(message([peer(id, at('/ip4/1.2.3.4/tcp/1'))])), framed(message([]))])
    for (const pieceBytes of [1, 2, 3, 7, bytes.byteLength]) {
      const { answers } = through(bytes, ALL, pieceBytes)
      assert.deepEqual(
        answers.map(({ rest }) => rest),
        Array(3).fill(Buffer.from(TYPE_AND_KEY).toString('hex')),
      )
      assert.deepEqual(
        answers.map(({ peers }) => peers.length),
        [0, 1, 0],
      )
    }
  })

  it('keep of a peer what was chosen, public addresses first, and 16 of them', () => {
    const named = ['/ip4/10.0.0.1/tcp/1', ...Array.from({ length: 30 }, (_, index) => `/ip4/1.2.3.${index}/tcp/1`), '/ip4/9.9.9.9/tcp/1']
    const [answer] = through(framed(message([peer(id, at(...named))])), (of, addresses) => {
      assert.equal(of, text)
      return addresses.filter((address) => !address.toString().includes('9.9.9.9'))
    }).answers
    assert.deepEqual(
      answer?.peers[0]?.addresses,
      named.slice(1, 17).map((address) => `${address}/p2p/${text}`),
    )
  })

  it('lose a peer that no address is left of, and addresses that are none, or of another peer', () => {
    const malformed = [Buffer.from([0xff, 0xff]), ...at('/ip4/1.1.1.1/tcp/1/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb')]
    assert.deepEqual(through(framed(message([peer(id, malformed)]))).answers[0]?.peers, [])
    const [answer] = through(framed(message([peer(id, [...malformed, ...at('/ip4/1.2.3.4/tcp/1')])]))).answers
    assert.deepEqual(answer?.peers[0]?.addresses, [`/ip4/1.2.3.4/tcp/1/p2p/${text}`])
  })

  it('lose addresses and IDs that are longer than any, unread: to write a peer ID as text takes the square of its length', () => {
    const long = Buffer.alloc(120_000, 0xff)
    const inAddress = new BinaryWriter()
      .raw(Buffer.from('04010203040600 01a503'.replace(' ', ''), 'hex'))
      .bytes(long)
      .finish()
    const asId = new BinaryWriter()
      .raw(Buffer.from([0]))
      .bytes(long)
      .finish()
    const [address] = at('/ip4/1.2.3.4/tcp/1') as [Uint8Array]
    const { answers, emitter } = through(
      Buffer.concat([framed(message([peer(id, [inAddress, address])])), framed(message([peer(asId, [address])]))]),
    )
    assert.equal(emitter.aborted, undefined)
    assert.deepEqual(
      answers.map(({ peers }) => peers.map(({ addresses }) => addresses)),
      [[[`/ip4/1.2.3.4/tcp/1/p2p/${text}`]], []],
    )
  })

  it('keep 20 peers of each kind', () => {
    const named = Array<Uint8Array>(50).fill(peer(id, at('/ip4/1.2.3.4/tcp/1')))
    const both = Buffer.concat([message(named), message(named, 9)])
    const peers = through(framed(both)).answers[0]?.peers ?? []
    assert.equal(peers.filter(({ field }) => field === 8).length, 20)
    assert.equal(peers.filter(({ field }) => field === 9).length, 20)
  })

  it('keep of two IDs of one peer the last, and no field that the spec does not name', async () => {
    const other = (await newPeer()).peerId
    const named = Buffer.concat([
      new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(id).finish(),
      peer(other.toMultihash().bytes, at('/ip4/1.2.3.4/tcp/1')),
      new BinaryWriter().tag(7, WireType.LengthDelimited).bytes(Buffer.from('x')).finish(),
    ])
    const extra = new BinaryWriter().tag(11, WireType.Varint).int32(1).finish()
    const [answer] = through(framed(Buffer.concat([message([named]), extra])), (of, addresses) =>
      of === other.toString() ? addresses : [],
    ).answers
    assert.equal(answer?.rest, Buffer.from(TYPE_AND_KEY).toString('hex'))
    assert.deepEqual(
      answer?.peers.map(({ id: last }) => last),
      [Buffer.from(other.toMultihash().bytes).toString('hex')],
    )
  })

  it('are written again where a number in them is longer than it needs to be', () => {
    const padded = Buffer.concat([Buffer.from([0x08, 0x84, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), TYPE_AND_KEY.subarray(2)])
    assert.equal(through(framed(padded)).answers[0]?.rest, Buffer.from(TYPE_AND_KEY).toString('hex'))
  })

  it('have of one peer 32 addresses that are looked at', () => {
    const named = Array.from({ length: 200 }, (_, index) => `/ip4/1.2.3.${index}/tcp/1`)
    let looked = 0
    through(framed(message([peer(id, at(...named))])), (_of, addresses) => {
      looked = addresses.length
      return addresses
    })
    assert.equal(looked, 32)
  })

  // other readers do not look at the wire type, and find peers there
  const hidden = (field: number): Uint8Array => {
    const named = peer(id, at('/ip4/127.0.0.1/tcp/1'))
    return Buffer.concat([TYPE_AND_KEY, new BinaryWriter().tag(field, WireType.Varint).uint32(named.length).raw(named).finish()])
  }

  for (const [what, bytes] of [
    ['hide peers behind a number', () => framed(hidden(8))],
    ['hide them in a key', () => framed(hidden(2))],
    ['have bytes for a number', () => framed(new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(Buffer.from('four')).finish())],
    ['are longer than 128 KiB', () => new BinaryWriter().uint32(128 * 1_024 + 1).finish()],
    ['have a length that does not end', () => Buffer.alloc(4, 0x80)],
    ['have a length of five bytes', () => Buffer.from([0x80, 0x80, 0x80, 0x80, 0x01])],
    ['are no protobuf', () => framed(Buffer.from([0x42, 0x20]))],
    ['name a peer by what is no multihash', () => framed(message([peer(Buffer.from([0xff]), at('/ip4/1.2.3.4/tcp/1'))]))],
  ] as Array<[string, () => Uint8Array]>) {
    it(`reset the stream where they ${what}`, () => {
      const { answers, emitter } = through(bytes())
      assert.deepEqual(answers, [])
      assert.ok(emitter.aborted != null)
    })
  }

  it('are heard no more by who stopped listening', () => {
    const emitter = new Emitter()
    let heard = 0
    const stream = filterMessages(emitter as unknown as Stream, ALL)
    const listener = (): void => {
      heard++
    }
    stream.addEventListener('message', listener)
    emitter.receives(framed(message([])))
    stream.removeEventListener('message', listener)
    emitter.receives(framed(message([])))
    assert.equal(heard, 1)
  })
})
