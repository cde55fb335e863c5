import assert from 'node:assert/strict'
import { on } from 'node:events'
import type { GossipSub, GossipsubMessage } from '@libp2p/gossipsub'
import { peerIdFromString } from '@libp2p/peer-id'
import type { SubnetNode } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { OtherStacks } from '../support/other-stacks.ts'
import type { ForeignPeer, Line } from './foreign-peer.ts'
import { SYNC, type TemplateInit, TemplateLab, TOPIC } from './template-peer.ts'

/** What a template node tells in five minutes, and half as many a second as py-libp2p takes of a peer. */
const STATES = 15
const PUBLISH_MS = 200

interface Pinned extends Line {
  looks: number
  absent: number
  score: number
}

describe('gossip of template nodes', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const stacks = new OtherStacks()
  const template = new TemplateLab()

  afterEach(async () => {
    await template.clean()
    await stacks.stop()
    await lab.clean()
  })

  /** One whose first message has an extensions message of gossipsub 1.3, and one whose has not; neither knows the other. */
  async function connectedTo(address: string, sync: TemplateInit['sync'] = SYNC): Promise<[ForeignPeer, ForeignPeer]> {
    const init = { bootstrap: [address], publishMs: PUBLISH_MS, sync }
    return Promise.all([template.peer({ ...init, extensions: true }), template.peer(init)])
  }

  /** A node takes each state that it hears into its address book. */
  async function heardFrom(node: SubnetNode, peer: ForeignPeer): Promise<void> {
    const { multiaddrs } = await node.resolve(peerIdFromString(peer.peerId), { tiers: ['gossip'] })
    assert.deepEqual(multiaddrs.map(String), [peer.address])
  }

  it('passes through us from one to the other: states and announcements', async () => {
    const node = await lab.node({ settings: { network: 'template', kadProtocol: undefined } })
    const init = { bootnode: true, bootstrap: [addressOf(node)] }
    const peers = await Promise.all([template.peer({ ...init, extensions: true }), template.peer(init)])
    for (const peer of peers) {
      await peer.do('mesh', { peer: node.peerId.toString(), topic: TOPIC })
      // on the same connection, behind what tells us that we are in its mesh
      await peer.do('ping', { peer: node.peerId.toString() })
    }
    const [first, second] = peers
    for (const [from, to] of [
      [first, second],
      [second, first],
      [first, second],
    ] as const) {
      const heard = event(node, 'heartbeat', ({ peerId }) => peerId === from.peerId)
      await from.do('state')
      assert.deepEqual((await heard).multiaddrs, [from.address])
      const { multiaddr } = await to.event<{ multiaddr: string } & Line>('state', ({ peerId }) => peerId === from.peerId)
      assert.equal(`${multiaddr}/p2p/${from.peerId}`, from.address)
      await from.do('announce')
      await to.event('announced', ({ peerId }) => peerId === from.peerId)
    }
    for (const peer of peers) {
      assert.equal((await peer.do('counts'))['open'], 1, 'they are connected to us only')
    }
  })

  it('reaches us and each other, and we stay in the mesh of both', async () => {
    const node = await lab.node({ settings: { network: 'template', kadProtocol: undefined } })
    const me = node.peerId.toString()
    const peers = await connectedTo(addressOf(node))
    const [first, second] = peers
    for (const peer of peers) {
      assert.deepEqual(await peer.do('mesh', { peer: me, topic: TOPIC }), { protocol: '/meshsub/2.0.0' })
      await peer.do('pin', { peer: me })
    }
    for (let heard = 1; heard <= STATES; heard++) {
      await first.event('state', ({ peerId }) => peerId === second.peerId)
      await second.event('state', ({ peerId }) => peerId === first.peerId)
    }
    for (const peer of peers) {
      const { looks, absent, score } = await peer.do<Pinned>('pinned', { peer: me })
      assert.ok(looks > STATES, `${looks} looks`)
      assert.equal(absent, 0)
      assert.ok(score >= 0, `our score is ${score} there`)
      await heardFrom(node, peer)
    }
  })

  it('does not lower their scores with us', async () => {
    const stack = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'], network: 'template' })
    const pubsub = stack.services.pubsub as GossipSub & { getScore(peerId: string): number }
    pubsub.subscribe(TOPIC)
    const messages = on(pubsub, 'gossipsub:message') as AsyncIterableIterator<[CustomEvent<GossipsubMessage>]>
    const peers = await connectedTo(stacks.addressOf(stack).toString(), false)
    for (let told = 1; told <= 2 * STATES; told++) {
      await messages.next()
    }
    for (const { peerId } of peers) {
      assert.ok(pubsub.getScore(peerId) >= 0, `${pubsub.getScore(peerId)}`)
    }
  })
})
