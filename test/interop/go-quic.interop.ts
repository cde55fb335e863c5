import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { GoLab } from './go-peer.ts'

const QUIC = '/ip4/127.0.0.1/udp/0/quic-v1'
const MIB = 1 << 20

for (const dialler of ['node', 'go'] as const) {
  describe(`a connection over QUIC that ${dialler === 'node' ? 'we dialled' : 'a Go peer dialled'}`, function () {
    this.timeout(60_000)
    const lab = new Lab()
    const go = new GoLab()

    afterEach(async () => {
      await go.clean()
      await lab.clean()
    })

    it('carries tasks each way, small ones, one of 3 MiB, and 300 at once', async () => {
      const node = await lab.node({ handler: ({ payload }) => payload, settings: { listen: [QUIC] } })
      const peer = await go.peer({ tasks: true, listen: [QUIC] })
      const connected = event(node, 'peer:connect', ({ peerId }) => peerId === peer.peerId)
      if (dialler === 'node') {
        await node.ping(multiaddr(peer.address))
      } else {
        await peer.do('dial', { address: addressOf(node) })
      }
      await connected
      const { transport, connections } = await peer.do('connection', { peer: node.peerId.toString() })
      assert.deepEqual([transport, connections], ['quic-v1', 1])
      const to = peerIdFromString(peer.peerId)
      const send = async (payload: Uint8Array) => node.tasks.sendTask(to, 'ours', payload, { connectedOnly: true })
      assert.equal(Buffer.from((await send(Buffer.from('x'))).result).toString(), 'x')
      const large = new Uint8Array(3 * MIB).fill(7)
      assert.ok(Buffer.from((await send(large)).result).equals(large))
      const many = await Promise.all(Array.from({ length: 300 }, async (_, size) => send(new Uint8Array(size))))
      assert.ok(many.every(({ accepted, result }, size) => accepted && result.byteLength === size))
      for (const size of [10, 3 * MIB]) {
        const answer = await peer.do('call', { peer: node.peerId.toString(), taskId: 'theirs', size, how: 'open' })
        assert.equal(answer['accepted'], true)
      }
      assert.equal(node.connections.length, 1)
      const gone = event(node, 'peer:disconnect', ({ peerId }) => peerId === peer.peerId)
      await peer.do('leave', { peer: node.peerId.toString() })
      await gone
    })
  })
}
