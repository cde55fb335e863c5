import assert from 'node:assert/strict'
import { verify } from 'node:crypto'
import { identify } from '@libp2p/identify'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { bytesFields } from '../../../src/primitives/wire-fields.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { OtherStacks } from '../../support/other-stacks.ts'

const SENDER_RECORD = 4
const PAYLOAD_TYPE = Buffer.from('8106', 'hex')
const DOMAIN = Buffer.from('libp2p-peer-record')
/** Before the raw key in the DER of an ed25519 public key. */
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')

function fieldOf(bytes: Uint8Array, wanted: number): Buffer {
  const found = bytesFields(bytes).find(([field]) => field === wanted)
  assert.ok(found != null, `field ${wanted}`)
  return Buffer.from(found[1])
}

function withLength(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

describe('what a node tells a gossip peer of 2.0 of itself', () => {
  const lab = new Lab()
  const stacks = new OtherStacks()

  afterEach(async () => {
    await lab.clean()
    await stacks.stop()
  })

  /** The first RPC on the stream that the node opens. */
  async function firstRpc(network: 'native' | 'template'): Promise<{ rpc: Uint8Array; address: string; key: Uint8Array }> {
    const node = await lab.node({ settings: { network } })
    const peer = await stacks.start({ services: { identify: identify() } })
    const { promise, resolve } = Promise.withResolvers<Uint8Array>()
    await peer.handle('/meshsub/2.0.0', async (stream) => {
      resolve((await lpStream(stream).read()).subarray())
    })
    await node.connect(stacks.addressOf(peer))
    const key = node.peerId.toMultihash().digest.subarray(4)
    return { rpc: await promise, address: addressOf(node), key }
  }

  it('is where it listens, signed as py-libp2p reads it, in an RPC of its own, in a network of the template', async () => {
    const { rpc, address, key } = await firstRpc('template')
    assert.deepEqual(
      bytesFields(rpc).map(([field]) => field),
      [SENDER_RECORD],
    )
    const envelope = fieldOf(rpc, SENDER_RECORD)
    const [type, payload, signature] = [fieldOf(envelope, 2), fieldOf(envelope, 3), fieldOf(envelope, 5)]
    assert.deepEqual(type, PAYLOAD_TYPE)
    const signed = Buffer.concat([DOMAIN, type, payload].map(withLength))
    assert.ok(payload.length < 128)
    assert.ok(verify(null, signed, { key: Buffer.concat([SPKI, key]), format: 'der', type: 'spki' }, signature))
    const told = fieldOf(fieldOf(payload, 3), 1)
    assert.equal(multiaddr(told).toString(), address)
  })

  it('is nothing of the kind in a native network', async () => {
    const { rpc } = await firstRpc('native')
    assert.ok(!bytesFields(rpc).some(([field]) => field === SENDER_RECORD))
  })
})
