import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { type Answer, digest, ending, failure, type Identified, identified } from './expectations.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { TemplateLab } from './template-peer.ts'

const MIB = 1_024 * 1_024
const SIZES = [0, 1, 64 * 1_024, MIB, 8 * MIB]
const AGENT = 'interop/1.2.3'
const SECURITY = '/pos-transport/1.0.0'

/** A native node and one in the template's network: calls are the same in both. */
const CASES = [
  { network: 'template', dialler: 'node' },
  { network: 'template', dialler: 'peer' },
  { network: 'native', dialler: 'node' },
  { network: 'native', dialler: 'peer' },
] as const

for (const { network, dialler } of CASES) {
  describe(`a template node and a ${network} node of ours, where ${dialler === 'node' ? 'ours' : 'the template node'} dials`, function () {
    this.timeout(60_000)
    const lab = new Lab()
    const template = new TemplateLab()
    let node: SubnetNode
    let me: string
    let peer: ForeignPeer

    before(async () => {
      node = await lab.node({
        agent: AGENT,
        settings: { network, kadProtocol: undefined },
        handler: ({ taskId, payload }) => {
          if (taskId === 'refused') {
            throw new Error('не сегодня')
          }
          return payload
        },
      })
      me = node.peerId.toString()
      peer = await template.peer({ bootnode: true })
    })

    after(async () => {
      await template.clean()
      await lab.clean()
    })

    async function ask(taskId: string, payload: Uint8Array = Buffer.from('x'), timeoutMs = 30_000) {
      return node.tasks.sendTask(peerIdFromString(peer.peerId), taskId, payload, { timeoutMs, connectedOnly: true })
    }

    it('connect, secured by Noise under the name that the template gives it', async () => {
      const connected = event(node, 'peer:connect', ({ peerId }) => peerId === peer.peerId)
      if (dialler === 'node') {
        await node.connect(multiaddr(peer.address))
      } else {
        await peer.do('dial', { address: addressOf(node) })
      }
      const { direction } = await connected
      assert.equal(direction, dialler === 'node' ? 'outbound' : 'inbound')
      const [connection] = node.connections
      assert.deepEqual([connection?.encryption, connection?.multiplexer], [SECURITY, '/yamux/1.0.0'])
      assert.deepEqual(await peer.event('checked'), {
        event: 'checked',
        peerId: me,
        direction: dialler === 'node' ? 'inbound' : 'outbound',
        admitted: true,
      })
    })

    it('tell each other who they are', async () => {
      const { protocols, multiaddrs } = await identified(node, peer.peerId)
      assert.deepEqual(
        protocols.filter((id) => id.startsWith('/meshsub/')),
        ['/meshsub/2.0.0'],
      )
      assert.deepEqual(multiaddrs.map(String), [peer.address])
      const { agent, addresses } = await peer.do<Identified>('identify', { peer: me })
      assert.deepEqual([agent, addresses], [AGENT, [addressOf(node).replace(`/p2p/${me}`, '')]])
    })

    it('ping each other', async () => {
      assert.ok((await node.ping(peerIdFromString(peer.peerId))).ms >= 0)
      assert.ok(Number((await peer.do('ping', { peer: me }))['ms']) >= 0)
    })

    it(`send each other tasks of ${SIZES.join(', ')} bytes`, async () => {
      for (const size of SIZES) {
        const payload = randomBytes(size)
        const { accepted, result } = await ask(`${size} bytes`, payload)
        assert.ok(accepted && payload.equals(result), `${size} bytes`)
        assert.deepEqual(await peer.event('request'), { event: 'request', taskId: `${size} bytes`, ...digest(payload) })
        const answer = await peer.do<Answer>('call', { peer: me, taskId: `${size} bytes`, size })
        assert.deepEqual(answer, { sent: answer.sent, accepted: true, error: '', result: answer.sent })
      }
    })

    it('reject each other’s tasks, and say why', async () => {
      await peer.do('serve', { how: 'reject' })
      const { accepted, error } = await ask('a task')
      assert.deepEqual([accepted, error], [false, 'не сегодня'])
      const answer = await peer.do<Answer>('call', { peer: me, taskId: 'refused' })
      assert.deepEqual([answer.accepted, answer.error], [false, 'не сегодня'])
    })

    it('fail, and the connection stays', async () => {
      for (const how of ['fail', 'reset']) {
        await peer.do('serve', { how })
        assert.deepEqual(ending(await failure(ask('a task'))), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
      }
      await peer.do('serve', { how: 'echo' })
      assert.ok((await ask('the last')).accepted)
      assert.equal((await peer.do('counts'))['open'], 1)
    })
  })
}
