import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { Resolved, ResolveError, SubnetNode } from '../../src/index.ts'
import { addressOf, Lab } from '../support/nodes.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { PythonLab } from './python-peer.ts'

/** The only one that py-libp2p speaks, whatever prefix its DHT is given. */
const kadProtocol = '/ipfs/kad/1.0.0'

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

describe('a Python peer that a node was not told of', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const python = new PythonLab()
  let peer: ForeignPeer

  before(async () => {
    peer = await python.peer({ tasks: true })
  })

  after(async () => {
    await python.clean()
    await lab.clean()
  })

  /** Has a new node find the peer from there, and send it a task. */
  async function found(bootstrap: string): Promise<{ verified: boolean; how: string }> {
    const node = await lab.node({ settings: { kadProtocol, bootstrap: [bootstrap] } })
    const peerId = peerIdFromString(peer.peerId)
    const { source, multiaddrs, verified, attempts } = await resolved(node, peerId)
    assert.equal(source, 'neighbour')
    assert.deepEqual(multiaddrs.map(String), [peer.address])
    const { result } = await node.tasks.sendTask(peerId, 'a task', Buffer.from('found'))
    assert.equal(Buffer.from(result).toString(), 'found')
    return { verified, how: attempts.find(({ tier }) => tier === 'neighbour')?.detail ?? '' }
  }

  it('is found by way of one of us, which has the record that the peer signed', async () => {
    const middle = await lab.node({ settings: { kadProtocol } })
    await middle.ping(multiaddr(peer.address))
    const { verified, how } = await found(addressOf(middle))
    assert.equal(verified, true)
    assert.equal(how, `by way of ${middle.peerId.toString()}, 1 hop(s)`)
  })

  it('is found by the Kademlia walk by way of another Python peer', async () => {
    const middle = await python.peer({ dht: 'SERVER' })
    await middle.do('dial', { address: peer.address })
    await middle.do('identify', { peer: peer.peerId })
    const { verified, how } = await found(middle.address)
    assert.equal(verified, true)
    assert.equal(how, 'by the Kademlia walk')
  })

  it('is found by every walk, though a Python peer that is asked for itself names no address', async () => {
    const asked = await python.peer({ dht: 'SERVER' })
    const middle = await python.peer({ dht: 'SERVER' })
    await middle.do('dial', { address: asked.address })
    await middle.do('identify', { peer: asked.peerId })
    const node = await lab.node({ settings: { kadProtocol, bootstrap: [middle.address] } })
    const peerId = peerIdFromString(asked.peerId)
    await resolved(node, peerId)
    for (let walk = 1; walk <= 8; walk++) {
      const { multiaddrs } = await node.resolve(peerId, { tiers: ['neighbour'] })
      assert.deepEqual(multiaddrs.map(String), [asked.address], `walk ${walk}`)
    }
  })
})

describe('one of us that a Python peer was not told of', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const python = new PythonLab()
  let middle: SubnetNode
  let node: SubnetNode

  before(async () => {
    middle = await lab.node({ settings: { kadProtocol } })
    node = await lab.node({ settings: { kadProtocol }, handler: ({ payload }) => payload })
    await node.ping(middle.multiaddrs)
  })

  after(async () => {
    await python.clean()
    await lab.clean()
  })

  it('is found by the Kademlia walk of py-libp2p by way of another of us, and answers a task', async () => {
    const peer = await python.peer({ dht: 'CLIENT' })
    const me = node.peerId.toString()
    await peer.do('dial', { address: addressOf(middle) })
    await peer.do('identify', { peer: middle.peerId.toString() })
    assert.deepEqual(await peer.do('find', { peer: me }), { addresses: [addressOf(node).replace(`/p2p/${me}`, '')] })
    await peer.do('dial', { address: addressOf(node) })
    assert.equal((await peer.do('call', { peer: me, taskId: 'a task', size: 10 }))['accepted'], true)
  })
})
