// What the tests of every stack with QUIC ask of a connection over it.
import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { addressOf, event, Lab } from '../support/nodes.ts'
import type { ForeignLab, ForeignPeer } from './foreign-peer.ts'

const QUIC = '/ip4/127.0.0.1/udp/0/quic-v1'
const MIB = 1 << 20
const MANY = 300

interface PeerInit {
  tasks: boolean
  listen: string[]
}

/**
 * @param name of the stack
 * @param atOnce how many tasks of ours its peers are asked at a time
 * @param checkOther what its peer tells of the connection
 */
export function testQuicOf<Init extends PeerInit>(
  name: string,
  peers: ForeignLab<Init>,
  atOnce: number,
  checkOther: (peer: ForeignPeer, node: string) => Promise<void> = async () => undefined,
): void {
  for (const dialler of ['node', name]) {
    describe(`a connection over QUIC that ${dialler === 'node' ? 'we dialled' : `a ${name} peer dialled`}`, function () {
      this.timeout(60_000)
      const lab = new Lab()

      afterEach(async () => {
        await peers.clean()
        await lab.clean()
      })

      it(`carries tasks each way, small ones, one of 3 MiB, and ${MANY}, ${atOnce} at a time`, async () => {
        const node = await lab.node({ handler: ({ payload }) => payload, settings: { listen: [QUIC] } })
        const peer = await peers.peer({ tasks: true, listen: [QUIC] } as Partial<Init>)
        const connected = event(node, 'peer:connect', ({ peerId }) => peerId === peer.peerId)
        if (dialler === 'node') {
          await node.ping(multiaddr(peer.address))
        } else {
          await peer.do('dial', { address: addressOf(node) })
        }
        await connected
        assert.equal(node.connections.length, 1)
        assert.match(String(node.connections[0]?.remoteAddr), /\/udp\/\d+\/quic-v1\//)
        await checkOther(peer, node.peerId.toString())
        const to = peerIdFromString(peer.peerId)
        const send = async (payload: Uint8Array) => node.tasks.sendTask(to, 'ours', payload, { connectedOnly: true })
        assert.equal(Buffer.from((await send(Buffer.from('x'))).result).toString(), 'x')
        const large = new Uint8Array(3 * MIB).fill(7)
        assert.ok(Buffer.from((await send(large)).result).equals(large))
        for (let first = 0; first < MANY; first += atOnce) {
          const many = await Promise.all(Array.from({ length: atOnce }, async (_, index) => send(new Uint8Array(first + index))))
          assert.ok(many.every(({ accepted, result }, index) => accepted && result.byteLength === first + index))
        }
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
}
