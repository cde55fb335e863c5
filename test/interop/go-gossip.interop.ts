import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import type { SubnetNode } from '../../src/index.ts'
import { addressOf, event, heartbeats, Lab } from '../support/nodes.ts'
import type { ForeignPeer, Line } from './foreign-peer.ts'
import { GoLab } from './go-peer.ts'

const TOPIC = '/subnet/1/heartbeat/1.0.0'
/** As in the proto. */
const ONLINE = 2
const OFFLINE = 3

interface Message extends Line {
  from: string
  heartbeat: { peerId: string; addresses: string[]; subnetId: number; state: number } | null
}

describe('a Go peer that passes heartbeats on', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const go = new GoLab()

  after(async () => {
    await go.clean()
    await lab.clean()
  })

  it('lets two of us hear each other that are connected to it only, without a subscription of its own', async () => {
    const relay = await go.peer({ gossip: true })
    await relay.do('relay', { topic: TOPIC })
    const settings = { heartbeatInterval: '500ms', bootstrap: [relay.address] }
    const [one, two] = await Promise.all([lab.node({ settings }), lab.node({ settings })])
    await Promise.all([heartbeats(one, two, 2), heartbeats(two, one, 2)])
    for (const [node, other] of [
      [one, two],
      [two, one],
    ] as const) {
      assert.deepEqual(
        node.connections.map(({ remotePeer }) => remotePeer.toString()),
        [relay.peerId],
      )
      const found = await node.resolve(other.peerId, { tiers: ['gossip'] })
      assert.deepEqual([found.source, found.verified, ...found.multiaddrs.map(String)], ['gossip', true, addressOf(other)])
    }
  })
})

describe('a Go peer that gossips with us', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const go = new GoLab()
  let near: SubnetNode
  /** Connected to the other of us only. */
  let far: SubnetNode
  let peer: ForeignPeer

  before(async () => {
    near = await lab.node({ settings: { heartbeatInterval: '500ms' } })
    far = await lab.node({ settings: { heartbeatInterval: '500ms', bootstrap: [addressOf(near)] } })
    peer = await go.peer({ gossip: true, tasks: true })
    await peer.do('subscribe', { topic: TOPIC })
    await peer.do('dial', { address: addressOf(near) })
    await peer.do('mesh', { peer: near.peerId.toString(), topic: TOPIC })
  })

  after(async () => {
    await go.clean()
    await lab.clean()
  })

  async function beat(state: number): Promise<void> {
    await peer.do('beat', { topic: TOPIC, subnetId: 1, state, intervalMs: 1_000 })
  }

  for (const which of ['near', 'far'] as const) {
    it(`hears the heartbeats of one of us that is ${which}, with the record that it signed`, async () => {
      const node = which === 'near' ? near : far
      const author = node.peerId.toString()
      const { heartbeat } = await peer.event<Message>('message', ({ from }) => from === author)
      assert.deepEqual(heartbeat, {
        peerId: author,
        addresses: [addressOf(node)],
        subnetId: 1,
        state: ONLINE,
      })
    })
  }

  it('is heard, near and far, and can then be resolved from gossip alone and asked', async () => {
    const heard = [near, far].map(async (node) => event(node, 'heartbeat', ({ peerId }) => peerId === peer.peerId))
    await beat(ONLINE)
    for (const told of await Promise.all(heard)) {
      assert.deepEqual(told, { peerId: peer.peerId, state: 'online', multiaddrs: [peer.address] })
    }
    const found = await far.resolve(peerIdFromString(peer.peerId), { tiers: ['gossip'] })
    assert.deepEqual([found.source, found.verified, ...found.multiaddrs.map(String)], ['gossip', true, peer.address])
    const { result } = await far.tasks.sendTask(peerIdFromString(peer.peerId), 'a task', Buffer.from('heard'))
    assert.equal(Buffer.from(result).toString(), 'heard')
  })

  it('is heard to say goodbye', async () => {
    const heard = [near, far].map(async (node) =>
      event(node, 'heartbeat', ({ peerId, state }) => peerId === peer.peerId && state === 'offline'),
    )
    await beat(OFFLINE)
    await Promise.all(heard)
  })

  it('hears us say goodbye', async () => {
    const author = far.peerId.toString()
    await far.stop()
    await peer.event<Message>('message', ({ from, heartbeat }) => from === author && heartbeat?.state === OFFLINE)
  })
})
