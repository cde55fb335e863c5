import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { Resolved, ResolveError, SubnetNode } from '../../src/index.ts'
import { addressOf, Lab } from '../support/nodes.ts'
import type { ForeignPeer, PeerFailure } from './foreign-peer.ts'
import { GoLab } from './go-peer.ts'

/** That of subnet 1, which the Go peers have too. */
const settings = { kadProtocol: '/subnet/1/kad/1.0.0' }

/** Asks until there is an answer: on a busy machine one budget may end before a node that just started knows whom to ask. */
async function resolved(node: SubnetNode, peerId: PeerId): Promise<Resolved> {
  while (true) {
    try {
      return await node.resolve(peerId, { tiers: ['neighbour'] })
    } catch (error) {
      assert.equal((error as ResolveError).code, 'PEER_NOT_FOUND', String(error))
    }
  }
}

/** As `resolved`: a routing table takes a peer in only once that has answered a question. */
async function foundByGo(peer: ForeignPeer, wanted: string): Promise<string[]> {
  while (true) {
    try {
      return (await peer.do<{ addresses: string[] }>('find', { peer: wanted })).addresses
    } catch (error) {
      assert.match((error as PeerFailure).message, /not found|failed to find any peer/)
    }
  }
}

for (const third of ['Go', 'ours'] as const) {
  describe(`by way of a third node, which is ${third === 'Go' ? 'a Go peer' : 'one of us'}`, function () {
    this.timeout(60_000)
    const lab = new Lab()
    const go = new GoLab()
    let middle: string

    beforeEach(async () => {
      middle = third === 'Go' ? (await go.peer({ dht: 'server' })).address : addressOf(await lab.node({ settings }))
    })

    afterEach(async () => {
      await go.clean()
      await lab.clean()
    })

    it('one of us finds a Go peer, and sends it a task', async () => {
      const peer = await go.peer({ tasks: true, dht: 'server' })
      await peer.do('dial', { address: middle })
      const node = await lab.node({ settings: { ...settings, bootstrap: [middle] } })
      const peerId = peerIdFromString(peer.peerId)
      const { source, multiaddrs, verified } = await resolved(node, peerId)
      assert.deepEqual([source, verified, ...multiaddrs.map(String)], ['neighbour', true, peer.address])
      const { result } = await node.tasks.sendTask(peerId, 'a task', Buffer.from('found'))
      assert.equal(Buffer.from(result).toString(), 'found')
    })

    it('a Go peer finds one of us, and sends it a task', async () => {
      const node = await lab.node({ settings, handler: ({ payload }) => payload })
      await node.ping(multiaddr(middle))
      const peer = await go.peer({ dht: 'client' })
      await peer.do('dial', { address: middle })
      const me = node.peerId.toString()
      assert.deepEqual(await foundByGo(peer, me), [addressOf(node).replace(`/p2p/${me}`, '')])
      await peer.do('dial', { address: addressOf(node) })
      assert.equal((await peer.do('call', { peer: me, taskId: 'a task', size: 10, how: 'open' }))['accepted'], true)
    })
  })
}
