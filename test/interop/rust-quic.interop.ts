import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { RustLab } from './rust-peer.ts'

const QUIC = '/ip4/127.0.0.1/udp/0/quic-v1'
const MIB = 1 << 20

for (const dialler of ['node', 'rust'] as const) {
  describe(`a connection over QUIC that ${dialler === 'node' ? 'we dialled' : 'a Rust peer dialled'}`, function () {
    this.timeout(60_000)
    const lab = new Lab()
    const rust = new RustLab()

    afterEach(async () => {
      await rust.clean()
      await lab.clean()
    })

    it('carries tasks each way, small ones, one of 3 MiB, and 300 in turn', async () => {
      const node = await lab.node({ handler: ({ payload }) => payload, settings: { listen: [QUIC] } })
      const peer = await rust.peer({ tasks: true, listen: [QUIC] })
      const connected = event(node, 'peer:connect', ({ peerId }) => peerId === peer.peerId)
      if (dialler === 'node') {
        await node.ping(multiaddr(peer.address))
      } else {
        await peer.do('dial', { address: addressOf(node) })
      }
      await connected
      assert.match(String(node.connections[0]?.remoteAddr), /\/udp\/\d+\/quic-v1\//)
      const to = peerIdFromString(peer.peerId)
      const send = async (payload: Uint8Array) => node.tasks.sendTask(to, 'ours', payload, { connectedOnly: true })
      assert.equal(Buffer.from((await send(Buffer.from('x'))).result).toString(), 'x')
      const large = new Uint8Array(3 * MIB).fill(7)
      assert.ok(Buffer.from((await send(large)).result).equals(large))
      // one after the other: a stream that rust-libp2p drops, as of too many at once, ends over QUIC as if its handler had ended it
      for (let size = 0; size < 300; size++) {
        const { accepted, result } = await send(new Uint8Array(size))
        assert.ok(accepted && result.byteLength === size)
      }
      for (const size of [10, 3 * MIB]) {
        const answer = await peer.do('call', { peer: node.peerId.toString(), taskId: 'theirs', size })
        assert.equal(answer['accepted'], true)
      }
      assert.equal(node.connections.length, 1)
      const gone = event(node, 'peer:disconnect', ({ peerId }) => peerId === peer.peerId)
      await peer.do('leave', { peer: node.peerId.toString() })
      await gone
    })
  })
}
