import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { type Identified, identified } from './expectations.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { PythonLab } from './python-peer.ts'

for (const dialler of ['node', 'python'] as const) {
  describe(`a connection that ${dialler === 'node' ? 'we dialled' : 'a Python peer dialled'}`, function () {
    this.timeout(60_000)
    const lab = new Lab()
    const python = new PythonLab()
    let node: SubnetNode
    let me: string
    let peer: ForeignPeer

    before(async () => {
      node = await lab.node({ handler: ({ payload }) => payload, agent: 'interop/1.2.3' })
      me = node.peerId.toString()
      peer = await python.peer({ tasks: true })
    })

    after(async () => {
      await python.clean()
      await lab.clean()
    })

    it('is made, and both know whom they talk to', async () => {
      const connected = event(node, 'peer:connect', ({ peerId }) => peerId === peer.peerId)
      if (dialler === 'node') {
        await node.ping(multiaddr(peer.address))
      } else {
        await peer.do('dial', { address: addressOf(node) })
      }
      const { direction } = await connected
      assert.equal(direction, dialler === 'node' ? 'outbound' : 'inbound')
      assert.deepEqual(
        node.connections.map(({ remotePeer }) => remotePeer.toString()),
        [peer.peerId],
      )
    })

    it('is secured by noise and multiplexed by yamux, as both say', async () => {
      const [connection] = node.connections
      assert.deepEqual([connection?.encryption, connection?.multiplexer], ['/noise', '/yamux/1.0.0'])
      assert.deepEqual(await peer.do('connection', { peer: me }), { security: 'NoiseTransportReadWriter', muxer: 'Yamux' })
    })

    it('tells us who the Python peer is, and where it listens', async () => {
      const { agent, protocols, multiaddrs } = await identified(node, peer.peerId)
      assert.equal(agent, 'py-libp2p/0.8.1')
      assert.ok(protocols.includes(node.tasks.id), protocols.join())
      assert.deepEqual(multiaddrs.map(String), [peer.address])
    })

    it('tells the Python peer who we are, and where we listen', async () => {
      const { agent, protocols, addresses, signed } = await peer.do<Identified>('identify', { peer: me })
      assert.equal(agent, 'interop/1.2.3')
      assert.ok(protocols.includes(node.tasks.id), protocols.join())
      const address = addressOf(node).replace(`/p2p/${me}`, '')
      assert.deepEqual(addresses, [address])
      assert.deepEqual(signed, { peerId: me, addresses: [address] })
    })

    it('carries a ping', async () => {
      const { ms } = await node.ping(node.connections[0]?.remotePeer ?? assert.fail())
      assert.ok(ms >= 0)
    })

    it('ends, and both know', async () => {
      const disconnected = event(node, 'peer:disconnect', ({ peerId }) => peerId === peer.peerId)
      await peer.do('leave', { peer: me })
      await disconnected
      assert.deepEqual(node.connections, [])
    })
  })
}

describe('a connection to a Python peer', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const python = new PythonLab()
  let node: SubnetNode

  before(async () => {
    node = await lab.node({ handler: ({ payload }) => payload })
  })

  after(async () => {
    await python.clean()
    await lab.clean()
  })

  for (const key of ['ed25519', 'secp256k1', 'rsa'] as const) {
    it(`whose key is ${key} is made both ways, and carries tasks both ways`, async () => {
      const me = node.peerId.toString()
      const dialled = await python.peer({ key, tasks: true })
      const { result } = await node.tasks.sendTask(multiaddr(dialled.address), 'a task', Buffer.from(key))
      assert.equal(Buffer.from(result).toString(), key)
      assert.equal((await dialled.do('call', { peer: me, taskId: 'a task', size: 10 }))['accepted'], true)

      const dialling = await python.peer({ key, tasks: true })
      await dialling.do('dial', { address: addressOf(node) })
      assert.equal((await dialling.do('call', { peer: me, taskId: 'a task', size: 10 }))['accepted'], true)
      const back = await node.tasks.sendTask(peerIdFromString(dialling.peerId), 'a task', Buffer.from(key), { connectedOnly: true })
      assert.equal(Buffer.from(back.result).toString(), key)
    })
  }
})
