import assert from 'node:assert/strict'
import { heartbeatTopic } from '../../../src/gossip/heartbeat.ts'
import { PEER_STATE_TOPIC } from '../../../src/gossip/peer-state.ts'
import type { SubnetNode } from '../../../src/index.ts'
import { TEMPLATE_GOSSIP_PROTOCOL_ID } from '../../../src/node/network/network.ts'
import { GossipPeer } from '../../support/gossip-peer.ts'
import { addressOf, event, heartbeats, Lab } from '../../support/nodes.ts'
import { announcementOf, encoded, stateOf } from '../../support/template-state.ts'

describe('a node in a network of the template', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const peers: GossipPeer[] = []
  let near: SubnetNode
  let far: SubnetNode

  beforeEach(async () => {
    near = await lab.node({ settings: { network: 'template', heartbeatInterval: '1s' } })
    far = await lab.node({ settings: { network: 'template', heartbeatInterval: '1s', bootstrap: [addressOf(near)] } })
    await heartbeats(far, near, 1)
  })

  afterEach(async () => {
    await Promise.all(peers.splice(0).map(async (peer) => peer.stop()))
    await lab.clean()
  })

  /** A node of the template, as far as gossip goes, in one mesh with `near`. */
  async function templateNode(): Promise<GossipPeer> {
    const peer = await GossipPeer.start({ topic: PEER_STATE_TOPIC, protocols: [TEMPLATE_GOSSIP_PROTOCOL_ID] })
    peers.push(peer)
    await peer.join(addressOf(near))
    return peer
  }

  const hears = (node: SubnetNode, { peerId }: GossipPeer) => event(node, 'heartbeat', (heard) => heard.peerId === peerId.toString())

  it('hears where the template’s nodes are, directly and through others, and goes on beating', async () => {
    const peer = await templateNode()
    const multiaddr = peer.address.replace(/\/p2p\/.*$/, '')
    const heard = [hears(near, peer), hears(far, peer)]
    await peer.publish(encoded(await stateOf(peer, { createdAtMs: Date.now(), multiaddr })))
    for (const { state, multiaddrs } of await Promise.all(heard)) {
      assert.deepEqual({ state, multiaddrs }, { state: 'online', multiaddrs: [peer.address] })
    }
    const known = (await far.peers({ all: true })).find(({ peerId }) => peerId.equals(peer.peerId))
    assert.equal(known?.source, 'gossip')
    assert.equal(known?.network, 'template')
    assert.equal(known?.entry?.verified, false)
    assert.ok(Number(known?.entry?.heartbeatAtMs) > 0)
    const resolved = await far.resolve(peer.peerId, { tiers: ['gossip'] })
    assert.equal(resolved.source, 'gossip')
    assert.equal(resolved.verified, true, 'a connection confirmed it')
    assert.deepEqual(resolved.multiaddrs.map(String), [peer.address])
    await far.disconnect(peer.peerId)
    const before = far.stats.heartbeats.sent
    await heartbeats(near, far, 2)
    assert.ok(far.stats.heartbeats.sent > before)
    const later = (await far.peers({ all: true })).find(({ peerId }) => peerId.equals(peer.peerId))
    assert.equal(later?.entry?.verified, true)
  })

  it('passes on between the template’s nodes what is no news to it, and nothing that is not valid', async () => {
    const [author, other] = [await templateNode(), await templateNode()]
    const announcement = encoded(announcementOf(author, Date.now()))
    await author.publish(Buffer.from('{}'))
    await author.publish(announcement)
    await other.receives(1)
    assert.deepEqual(other.received, [announcement])
  })

  it('takes all of 16 into its mesh though none of them asks for it, as the template’s nodes do not', async () => {
    const start = async (): Promise<GossipPeer> =>
      GossipPeer.start({ topic: PEER_STATE_TOPIC, protocols: [TEMPLATE_GOSSIP_PROTOCOL_ID], passive: true })
    peers.push(...(await Promise.all(Array.from({ length: 16 }, start))))
    await Promise.all(peers.map(async (peer) => peer.connect(addressOf(near))))
    await Promise.all(peers.map(async (peer) => peer.inMesh(near.peerId)))
  })

  it('does not listen to them in a native network', async () => {
    const native = await lab.node()
    const peer = await GossipPeer.start({ topic: heartbeatTopic(1), protocols: [TEMPLATE_GOSSIP_PROTOCOL_ID] })
    peers.push(peer)
    await peer.join(addressOf(native))
    assert.deepEqual(peer.topicsOf(native.peerId), [heartbeatTopic(1)])
  })
})
