import assert from 'node:assert/strict'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Stream, StreamMessageEvent } from '@libp2p/interface'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { multiaddr } from '@multiformats/multiaddr'
import { filterIdentify } from '../../../src/node/adapters/identify-messages.ts'
import { bytesFields } from '../../../src/primitives/wire-fields.ts'
import { newPeer, type TestPeer } from '../../support/keys.ts'
import { Emitter } from '../../support/streams.ts'

type Fields = Array<[field: number, value: Uint8Array]>

function framed(fields: Fields): Uint8Array {
  const writer = new BinaryWriter()
  for (const [field, value] of fields) {
    writer.tag(field, WireType.LengthDelimited).bytes(value)
  }
  return new BinaryWriter().bytes(writer.finish()).finish()
}

/** What is read of a message that a peer sends. */
function pass(bytes: Uint8Array): { fields: Fields | undefined; aborted: Error | undefined } {
  const emitter = new Emitter()
  const stream = filterIdentify(emitter as unknown as Stream)
  let fields: Fields | undefined
  stream.addEventListener('message', (event) => {
    const whole = (event as StreamMessageEvent).data.subarray()
    fields = bytesFields(whole.subarray(whole.findIndex((byte) => byte < 0x80) + 1))
  })
  emitter.receives(bytes)
  return { fields, aborted: emitter.aborted }
}

/** A name of 400 letters in each part: an address of over 512 bytes that can be read. */
const LONG = multiaddr(`/dns4/${'a'.repeat(400)}/tcp/1/dns4/${'a'.repeat(400)}`).bytes

describe('what a peer tells of itself with identify', () => {
  const short = multiaddr('/ip4/10.0.0.1/tcp/4001').bytes
  let peer: TestPeer

  beforeEach(async () => {
    peer = await newPeer()
  })

  async function recordOf(addresses: string[]): Promise<Uint8Array> {
    const record = new PeerRecord({ peerId: peer.peerId, multiaddrs: addresses.map((address) => multiaddr(address)), seqNumber: 2n ** 62n })
    return (await RecordEnvelope.seal(record, peer.privateKey)).marshal()
  }

  it('is read as it was sent', async () => {
    const fields: Fields = [
      [1, Buffer.from('key')],
      [2, short],
      [3, Buffer.from('/a/1.0.0')],
      [3, Buffer.from('/b/1.0.0')],
      [4, short],
      [5, Buffer.from('protocol version')],
      [6, Buffer.from('agent')],
      [8, await recordOf(['/ip4/10.0.0.1/tcp/4001'])],
    ]
    const read = pass(framed(fields)).fields?.map(([field, value]) => [field, Buffer.from(value).toString('hex')])
    assert.deepEqual(
      read,
      fields.map(([field, value]) => [field, Buffer.from(value).toString('hex')]),
    )
  })

  it('loses addresses that are too long or none, and what is over 64 of them', () => {
    const many = Array.from({ length: 100 }, (_, port): [number, Uint8Array] => [2, multiaddr(`/ip4/10.0.0.1/tcp/${port + 1}`).bytes])
    const { fields } = pass(framed([[2, LONG], [2, Buffer.from('nonsense')], [4, LONG], ...many]))
    assert.equal(fields?.filter(([field]) => field === 2).length, 62)
    assert.ok(fields?.every(([field, value]) => field === 2 && value.byteLength <= 512))
  })

  it('loses a signed record with an address that is too long, or with too many', async () => {
    const long = await recordOf([`/dns4/${'a'.repeat(400)}/tcp/1/dns4/${'a'.repeat(400)}`])
    const many = await recordOf(Array.from({ length: 100 }, (_, port) => `/ip4/10.0.0.1/tcp/${port + 1}`))
    for (const record of [long, many, Buffer.from('nonsense'), new Uint8Array()]) {
      const { fields } = pass(
        framed([
          [2, short],
          [8, record],
        ]),
      )
      assert.deepEqual(
        fields?.map(([field]) => field),
        record.byteLength === 0 ? [2, 8] : [2],
      )
    }
  })

  it('loses a key that is of no type, and all but 256 protocols', () => {
    const protocols = Array.from({ length: 300 }, (_, index): [number, Uint8Array] => [3, Buffer.from(`/${index}`)])
    const { fields } = pass(framed([[1, Buffer.alloc(2_000)], ...protocols]))
    assert.equal(fields?.length, 256)
  })

  it('resets the stream where the message is malformed, or larger than 8 KiB', () => {
    for (const bytes of [framed([[6, Buffer.alloc(9_000)]]), Buffer.from('02ffff', 'hex'), Buffer.from('ffffffffff01', 'hex')]) {
      const { fields, aborted } = pass(bytes)
      assert.equal(fields, undefined)
      assert.match(aborted?.message ?? '', /identify message|invalid|premature|illegal|wire type/i)
    }
  })
})
