import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import type { SubnetNode } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import type { ForeignPeer, Line } from './foreign-peer.ts'
import { PythonLab } from './python-peer.ts'

const TOPIC = '/subnet/1/heartbeat/1.0.0'
/** As in the proto. */
const ONLINE = 2
const OFFLINE = 3

interface Message extends Line {
  from: string
  heartbeat: { peerId: string; addresses: string[]; subnetId: number; state: number } | null
}

describe('a Python peer that gossips with us', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const python = new PythonLab()
  let near: SubnetNode
  /** Connected to the other of us only. */
  let far: SubnetNode
  let peer: ForeignPeer

  before(async () => {
    near = await lab.node({ settings: { heartbeatInterval: '500ms' } })
    far = await lab.node({ settings: { heartbeatInterval: '500ms', bootstrap: [addressOf(near)] }, handler: ({ payload }) => payload })
    peer = await python.peer({ gossip: true, tasks: true })
    await peer.do('subscribe', { topic: TOPIC })
    await peer.do('dial', { address: addressOf(near) })
  })

  after(async () => {
    await python.clean()
    await lab.clean()
  })

  async function beat(state: number): Promise<void> {
    await peer.do('beat', { topic: TOPIC, subnetId: 1, state, intervalMs: 1_000 })
  }

  it('is in one mesh with us', async () => {
    const { protocol } = await peer.do('mesh', { peer: near.peerId.toString(), topic: TOPIC })
    assert.match(String(protocol), /^\/meshsub\/1\.\d\.0$/)
  })

  for (const which of ['near', 'far'] as const) {
    it(`hears the heartbeats of one of us that is ${which}, with the record that it signed`, async () => {
      const node = which === 'near' ? near : far
      const author = node.peerId.toString()
      const { heartbeat } = await peer.event<Message>('message', ({ from }) => from === author)
      assert.deepEqual(heartbeat, { peerId: author, addresses: [addressOf(node)], subnetId: 1, state: ONLINE })
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
