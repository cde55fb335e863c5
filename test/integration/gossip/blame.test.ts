import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { heartbeatTopic } from '../../../src/gossip/heartbeat.ts'
import type { SubnetNode } from '../../../src/index.ts'
import { GossipPeer } from '../../support/gossip-peer.ts'
import { addressOf, heartbeats, Lab } from '../../support/nodes.ts'

const TOPIC = heartbeatTopic(1)
/** Of three, gossipsub would hear nothing more of the peer, and not even tell it that it is in no mesh. */
const ENOUGH = 2
/** Half a second apart: gossipsub looks at its mesh once a second. */
const BEATS = 5
/** With what gossip adds to it, the 1 MiB that go-libp2p-pubsub takes. */
const LARGE_BYTES = (1 << 20) - 1_024
/** At its mesh, by gossipsub of the relay. */
const LOOKS = 3
/** More than a relay may pass on of what others signed. */
const FLOOD = 60

describe('a node behind a relay that does not look at what it passes on', function () {
  this.timeout(60_000)
  let lab: Lab
  let peers: GossipPeer[]
  let relay: GossipPeer
  let node: SubnetNode
  /** Connected to the relay only. */
  let honest: SubnetNode

  beforeEach(async () => {
    lab = new Lab()
    peers = []
    relay = await peer({ relays: true })
    const settings = { heartbeatInterval: '500ms', bootstrap: [relay.address] }
    node = await lab.node({ settings })
    honest = await lab.node({ settings })
    await Promise.all([heartbeats(node, honest, 1), relay.inMesh(node.peerId)])
  })

  afterEach(async () => {
    await Promise.all(peers.map(async (each) => each.stop()))
    await lab.clean()
  })

  async function peer({ relays = false } = {}): Promise<GossipPeer> {
    const made = await GossipPeer.start({ topic: TOPIC, relays })
    peers.push(made)
    return made
  }

  async function garbage(author: GossipPeer): Promise<void> {
    for (let index = 0; index < ENOUGH; index++) {
      await author.publish(Buffer.from(`garbage ${index}`))
    }
  }

  /** Beats of the honest peer still arrive, while gossipsub looks at its mesh, and the relay is in it afterwards. */
  async function relayStays(): Promise<void> {
    const pruned = relay.dropped(node.peerId).then(() => assert.fail('the relay is no longer in the mesh'))
    await Promise.race([heartbeats(node, honest, BEATS), pruned])
    assert.ok(relay.mesh.includes(node.peerId.toString()))
  }

  it('keeps the relay in its mesh when an author behind it signs garbage, and takes the author into none', async () => {
    const author = await peer()
    await author.join(relay.address)
    await garbage(author)
    await relayStays()
    await author.connect(addressOf(node))
    await author.dropped(node.peerId)
  })

  it('goes on hearing the relay when it passes on a message as large as Go relays take', async () => {
    const author = await peer()
    await author.join(relay.address)
    await author.publish(Buffer.alloc(LARGE_BYTES))
    await relayStays()
  })

  it('drops an author that is in its mesh, and not the relay that passed on the same', async () => {
    const author = await peer()
    await author.join(relay.address)
    await author.join(addressOf(node))
    await garbage(author)
    await author.dropped(node.peerId)
    await relayStays()
  })

  it('drops a relay that passes on the garbage of ever new authors', async () => {
    for (let index = 0; index < FLOOD; index++) {
      await relay.relay(await generateKeyPair('Ed25519'), Buffer.from('garbage'), BigInt(index))
    }
    await relay.dropped(node.peerId)
  })

  it('keeps an honest relay beside a hostile one that passes on the same', async () => {
    const hostile = await peer({ relays: true })
    await hostile.join(addressOf(node))
    await hostile.join(relay.address)
    for (let index = 0; index < FLOOD; index++) {
      await hostile.relay(await generateKeyPair('Ed25519'), Buffer.from('garbage'), BigInt(index))
    }
    await hostile.dropped(node.peerId)
    // the honest peer sees no other relay, and blames this one: it is no witness
    await relay.rounds(LOOKS)
    assert.deepEqual(
      relay.prunedBy.filter((by) => by === node.peerId.toString()),
      [],
    )
  })
})
