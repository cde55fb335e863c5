import assert from 'node:assert/strict'
import { once } from 'node:events'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { newPeer } from '../../support/keys.ts'
import { OtherStacks } from '../../support/other-stacks.ts'

const IDENTIFY = '/ipfs/id/1.0.0'
const PUSH = '/ipfs/id/push/1.0.0'
const SHORT = multiaddr('/ip4/127.0.0.1/tcp/4001')
const LONG = multiaddr(`/dns4/${'a'.repeat(400)}/tcp/1/dns4/${'a'.repeat(400)}`)

describe('identify of a hostile peer', () => {
  const stacks = new OtherStacks()

  afterEach(async () => stacks.stop())

  it('has no address of over 512 bytes, when it is asked or pushes; what it pushes too often is reset', async () => {
    const { privateKey, peerId } = await newPeer()
    const ours = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'] })
    const stranger = await stacks.start({ privateKey })
    const message = new BinaryWriter()
      .tag(1, WireType.LengthDelimited)
      .bytes(publicKeyToProtobuf(privateKey.publicKey))
      .tag(2, WireType.LengthDelimited)
      .bytes(LONG.bytes)
      .tag(2, WireType.LengthDelimited)
      .bytes(SHORT.bytes)
      .finish()
    const told = new BinaryWriter().bytes(message).finish()
    await stranger.handle(IDENTIFY, async (stream: Stream) => {
      stream.send(told)
      await stream.close()
    })
    let identified = 0
    const asked = once(ours as unknown as EventTarget, 'peer:identify')
    ours.addEventListener('peer:identify', () => identified++)
    const connection = await stranger.dial(multiaddr(stacks.addressOf(ours)))
    await asked
    const addressesOf = async (): Promise<string[]> => (await ours.peerStore.get(peerId)).addresses.map((each) => each.multiaddr.toString())
    assert.deepEqual(await addressesOf(), [SHORT.toString()])

    const statuses: string[] = []
    while (statuses.length < 25) {
      const stream = await connection.newStream(PUSH)
      const ended = stream.status === 'open' ? once(stream, 'close') : undefined
      try {
        stream.send(told)
        await stream.close()
      } catch {
        // it was reset before
      }
      await ended
      statuses.push(stream.status)
    }
    assert.ok(statuses.filter((status) => status === 'reset').length >= 5, statuses.join())
    assert.ok(identified <= 20, `${identified} messages were read`)
    assert.deepEqual(await addressesOf(), [SHORT.toString()])
  })
})
