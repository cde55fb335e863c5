import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Resolved, ResolveError, SubnetNode } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import type { ForeignPeer, Line } from './foreign-peer.ts'
import { RustLab } from './rust-peer.ts'

/** That of subnet 1. */
const kadProtocol = '/subnet/1/kad/1.0.0'
const TOPIC = '/subnet/1/heartbeat/1.0.0'
/** As in the proto. */
const ONLINE = 2
const OFFLINE = 3

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

describe('in one DHT with Rust peers', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const rust = new RustLab()

  afterEach(async () => {
    await rust.clean()
    await lab.clean()
  })

  async function rustInTable(at: ForeignPeer): Promise<ForeignPeer> {
    const peer = await rust.peer({ tasks: true, dht: 'server' })
    await peer.do('dial', { address: at.address })
    await peer.do('identify', { peer: at.peerId })
    await at.do('identify', { peer: peer.peerId })
    return peer
  }

  it('we find a Rust peer by the Kademlia walk by way of another one', async () => {
    const middle = await rust.peer({ dht: 'server' })
    const peer = await rustInTable(middle)
    const node = await lab.node({ settings: { kadProtocol, bootstrap: [middle.address] } })
    const { source, multiaddrs, verified, attempts } = await resolved(node, peerIdFromString(peer.peerId))
    assert.deepEqual([source, verified, ...multiaddrs.map(String)], ['neighbour', true, peer.address])
    assert.equal(attempts.find(({ tier }) => tier === 'neighbour')?.detail, 'by the Kademlia walk')
    const { result } = await node.tasks.sendTask(peerIdFromString(peer.peerId), 'a task', Buffer.from('found'))
    assert.equal(Buffer.from(result).toString(), 'found')
  })

  it('we find a Rust peer by way of another of us', async () => {
    const middle = await lab.node({ settings: { kadProtocol } })
    const peer = await rust.peer({ tasks: true, dht: 'server' })
    await peer.do('dial', { address: addressOf(middle) })
    await peer.do('identify', { peer: middle.peerId.toString() })
    const node = await lab.node({ settings: { kadProtocol, bootstrap: [addressOf(middle)] } })
    const { multiaddrs, verified } = await resolved(node, peerIdFromString(peer.peerId))
    assert.deepEqual([verified, ...multiaddrs.map(String)], [true, peer.address])
  })

  it('we find another of us by way of a Rust peer', async () => {
    const middle = await rust.peer({ dht: 'server' })
    const wanted = await lab.node({ settings: { kadProtocol, bootstrap: [middle.address] }, handler: ({ payload }) => payload })
    await middle.do('identify', { peer: wanted.peerId.toString() })
    const node = await lab.node({ settings: { kadProtocol, bootstrap: [middle.address] } })
    const { multiaddrs } = await resolved(node, wanted.peerId)
    assert.deepEqual(multiaddrs.map(String), [addressOf(wanted)])
  })

  it('a Rust peer finds one of us by way of a Rust peer, and calls it', async () => {
    const middle = await rust.peer({ dht: 'server' })
    const wanted = await lab.node({ settings: { kadProtocol, bootstrap: [middle.address] }, handler: ({ payload }) => payload })
    await middle.do('identify', { peer: wanted.peerId.toString() })
    await findsAndCalls(middle.address, middle.peerId, wanted)
  })

  it('a Rust peer finds one of us by way of another of us, and calls it', async () => {
    const middle = await lab.node({ settings: { kadProtocol } })
    const wanted = await lab.node({ settings: { kadProtocol }, handler: ({ payload }) => payload })
    await wanted.ping(middle.multiaddrs)
    await findsAndCalls(addressOf(middle), middle.peerId.toString(), wanted)
  })

  async function findsAndCalls(middle: string, middleId: string, wanted: SubnetNode): Promise<void> {
    const peer = await rust.peer({ dht: 'client' })
    const me = wanted.peerId.toString()
    await peer.do('dial', { address: middle })
    await peer.do('identify', { peer: middleId })
    const { addresses } = await peer.do<{ addresses: string[] }>('find', { peer: me })
    assert.deepEqual(
      addresses.map((address) => address.replace(`/p2p/${me}`, '')),
      [addressOf(wanted).replace(`/p2p/${me}`, '')],
    )
    assert.equal((await peer.do('call', { peer: me, taskId: 'a task', size: 10 }))['accepted'], true)
  }
})

interface Message extends Line {
  from: string
  heartbeat: { peerId: string; addresses: string[]; subnetId: number; state: number } | null
}

describe('a Rust peer between two of us that are not connected', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const rust = new RustLab()
  let nodes: [SubnetNode, SubnetNode]
  let peer: ForeignPeer

  before(async () => {
    peer = await rust.peer({ gossip: true, tasks: true })
    await peer.do('subscribe', { topic: TOPIC })
    nodes = [await lab.node(beating()), await lab.node(beating())]
  })

  after(async () => {
    await rust.clean()
    await lab.clean()
  })

  function beating() {
    return {
      settings: { heartbeatInterval: '500ms', bootstrap: [peer.address] },
      handler: ({ payload }: { payload: Uint8Array }) => payload,
    }
  }

  it('is in one mesh with both', async () => {
    for (const node of nodes) {
      const { protocol } = await peer.do('mesh', { peer: node.peerId.toString(), topic: TOPIC })
      assert.match(String(protocol), /^Gossipsub v1\.\d$/)
    }
  })

  it('hears the heartbeats of both, with the records that they signed', async () => {
    for (const node of nodes) {
      const author = node.peerId.toString()
      const { heartbeat } = await peer.event<Message>('message', ({ from }) => from === author)
      assert.deepEqual(heartbeat, {
        peerId: author,
        addresses: [addressOf(node)],
        subnetId: 1,
        state: ONLINE,
      })
    }
  })

  it('passes the heartbeats of each on to the other, which can then find it by gossip alone, and ask it', async () => {
    const [near, far] = nodes
    await Promise.all([
      event(near, 'heartbeat', ({ peerId }) => peerId === far.peerId.toString()),
      event(far, 'heartbeat', ({ peerId }) => peerId === near.peerId.toString()),
    ])
    assert.deepEqual(
      nodes.map(({ connections }) => connections.map(({ remotePeer }) => remotePeer.toString())),
      [[peer.peerId], [peer.peerId]],
    )
    const found = await near.resolve(far.peerId, { tiers: ['gossip'] })
    assert.deepEqual([found.source, found.verified, ...found.multiaddrs.map(String)], ['gossip', true, addressOf(far)])
    const { result } = await near.tasks.sendTask(far.peerId, 'a task', Buffer.from('heard'))
    assert.equal(Buffer.from(result).toString(), 'heard')
  })

  it('is heard itself by both, and can then be found from gossip alone, and asked', async () => {
    const heard = nodes.map(async (node) => event(node, 'heartbeat', ({ peerId }) => peerId === peer.peerId))
    await peer.do('beat', { topic: TOPIC, subnetId: 1, state: ONLINE, intervalMs: 1_000 })
    for (const told of await Promise.all(heard)) {
      assert.deepEqual(told, { peerId: peer.peerId, state: 'online', multiaddrs: [peer.address] })
    }
    const { result } = await nodes[0].tasks.sendTask(peerIdFromString(peer.peerId), 'a task', Buffer.from('heard'))
    assert.equal(Buffer.from(result).toString(), 'heard')
  })

  it('passes on that one of us says goodbye', async () => {
    const [near, far] = nodes
    const author = far.peerId.toString()
    const heard = event(near, 'heartbeat', ({ peerId, state }) => peerId === author && state === 'offline')
    await far.stop()
    await peer.event<Message>('message', ({ from, heartbeat }) => from === author && heartbeat?.state === OFFLINE)
    await heard
  })
})
