import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { ending, failure, type Identified, identified } from './expectations.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { GoLab } from './go-peer.ts'

const KAD = '/subnet/1/kad/1.0.0'
const STRANGER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const KEYS = ['ed25519', 'secp256k1', 'rsa', 'ecdsa'] as const
const HAS_IPV6 = Object.values(networkInterfaces()).some((found) => found?.some(({ address }) => address === '::1'))

/** A task each way over the connection that is there. */
async function tasksBothWays(node: SubnetNode, peer: ForeignPeer): Promise<void> {
  const { result } = await node.tasks.sendTask(peerIdFromString(peer.peerId), 'ours', Buffer.from('x'), { connectedOnly: true })
  assert.equal(Buffer.from(result).toString(), 'x')
  assert.equal((await peer.do('call', { peer: node.peerId.toString(), taskId: 'theirs', size: 10, how: 'open' }))['accepted'], true)
  assert.equal(node.connections.length, 1)
}

for (const dialler of ['node', 'go'] as const) {
  describe(`a connection that ${dialler === 'node' ? 'we dialled' : 'a Go peer dialled'}`, function () {
    this.timeout(60_000)
    const lab = new Lab()
    const go = new GoLab()
    let node: SubnetNode
    let me: string
    let peer: ForeignPeer

    before(async () => {
      node = await lab.node({ handler: ({ payload }) => payload, agent: 'interop/1.2.3', settings: { kadProtocol: KAD } })
      me = node.peerId.toString()
      peer = await go.peer({ tasks: true, dht: 'server' })
    })

    after(async () => {
      await go.clean()
      await lab.clean()
    })

    it('is made, and both know whom they talk to', async () => {
      const connected = event(node, 'peer:connect', ({ peerId }) => peerId === peer.peerId)
      if (dialler === 'node') {
        await node.ping(multiaddr(peer.address))
      } else {
        await peer.do('dial', { address: addressOf(node) })
      }
      assert.equal((await connected).direction, dialler === 'node' ? 'outbound' : 'inbound')
      assert.deepEqual(
        node.connections.map(({ remotePeer }) => remotePeer.toString()),
        [peer.peerId],
      )
    })

    it('is secured by noise and multiplexed by yamux, which was agreed upon in the handshake', async () => {
      const [connection] = node.connections
      assert.deepEqual([connection?.encryption, connection?.multiplexer], ['/noise', '/yamux/1.0.0'])
      const { security, muxer, early, transport, connections } = await peer.do('connection', { peer: me })
      assert.deepEqual([security, muxer, early, transport, connections], ['/noise', '/yamux/1.0.0', true, 'tcp', 1])
    })

    it('tells us who the Go peer is, and where it listens', async () => {
      const { agent, protocols, multiaddrs } = await identified(node, peer.peerId)
      assert.match(agent ?? '', /^subnet\/interop/)
      for (const protocol of [node.tasks.id, KAD]) {
        assert.ok(protocols.includes(protocol), protocols.join())
      }
      assert.deepEqual(multiaddrs.map(String), [peer.address])
    })

    it('tells the Go peer who we are, and where we listen, signed', async () => {
      const { agent, protocols, addresses, signed } = await peer.event<Identified & { peer: string }>(
        'identified',
        (told) => told.peer === me,
      )
      assert.equal(agent, 'interop/1.2.3')
      for (const protocol of [node.tasks.id, KAD]) {
        assert.ok(protocols.includes(protocol), protocols.join())
      }
      const address = addressOf(node).replace(`/p2p/${me}`, '')
      assert.deepEqual(addresses, [address])
      assert.deepEqual(signed, { peerId: me, addresses: [address] })
    })

    it('carries a ping each way', async () => {
      const { ms } = await node.ping(peerIdFromString(peer.peerId))
      assert.ok(ms >= 0)
      assert.ok(Number((await peer.do('ping', { peer: me }))['ms']) > 0)
    })

    it('carries a task each way', async () => tasksBothWays(node, peer))

    it('ends, and both know', async () => {
      const disconnected = event(node, 'peer:disconnect', ({ peerId }) => peerId === peer.peerId)
      await peer.do('leave', { peer: me })
      await disconnected
      assert.deepEqual(node.connections, [])
    })
  })
}

describe('a connection with a Go peer', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const go = new GoLab()

  afterEach(async () => {
    await go.clean()
    await lab.clean()
  })

  /** One of us and one of them, connected at an address that is made of the other's. */
  async function connected(dialler: 'we' | 'they', given: { ours?: string; theirs?: string } = {}, change = (text: string) => text) {
    const settings = given.ours == null ? {} : { listen: [given.ours] }
    const node = await lab.node({ handler: ({ payload }) => payload, settings })
    const peer = await go.peer({ tasks: true, ...(given.theirs == null ? {} : { listen: [given.theirs] }) })
    if (dialler === 'we') {
      await node.ping(multiaddr(change(peer.address)))
    } else {
      await peer.do('dial', { address: change(addressOf(node)) })
    }
    return { node, peer }
  }

  for (const dialler of ['we', 'they'] as const) {
    it(`over IPv6 is made when ${dialler} dial`, async function () {
      if (!HAS_IPV6) {
        this.skip()
      }
      const { node, peer } = await connected(dialler, { ours: '/ip6/::1/tcp/0', theirs: '/ip6/::1/tcp/0' })
      assert.match(String(node.connections[0]?.remoteAddr), /^\/ip6\/::1\/tcp\//)
      await tasksBothWays(node, peer)
    })

    it(`at a name is made when ${dialler} dial`, async () => {
      const { node, peer } = await connected(dialler, {}, (address) => address.replace('/ip4/127.0.0.1', '/dns4/localhost'))
      await tasksBothWays(node, peer)
    })

    for (const key of KEYS) {
      it(`whose key is ${key} is made when ${dialler} dial`, async () => {
        const node = await lab.node({ handler: ({ payload }) => payload })
        const peer = await go.peer({ key, tasks: true })
        if (dialler === 'we') {
          await node.ping(multiaddr(peer.address))
        } else {
          await peer.do('dial', { address: addressOf(node) })
        }
        await tasksBothWays(node, peer)
      })
    }
  }

  /** How a task to a Go peer ends that cannot be connected to: the text and the hint. */
  async function unreachable(node: SubnetNode, address: string): Promise<{ message: string; hint: string }> {
    const error = await failure(node.tasks.sendTask(multiaddr(address), 'a task', Buffer.from('x'), { timeoutMs: 20_000 }))
    assert.deepEqual(ending(error), { code: 'UNREACHABLE', phase: 'dial', mayHaveActed: false })
    assert.doesNotMatch(error.message, /TypeError|undefined|Cannot read/)
    assert.deepEqual(node.connections, [])
    return { message: error.message, hint: error.hint ?? '' }
  }

  it('that has TLS only is not made, and the hint says so', async () => {
    const node = await lab.node()
    const { hint } = await unreachable(node, (await go.peer({ tasks: true, security: 'tls' })).address)
    assert.match(hint, /noise/i)
  })

  for (const key of KEYS) {
    it(`whose peer ID is that of another ${key} key is not made, and the hint says so`, async () => {
      const node = await lab.node()
      const [peer, other] = await Promise.all([go.peer({ key, tasks: true }), go.peer({ key })])
      const { message, hint } = await unreachable(node, peer.address.replace(peer.peerId, other.peerId))
      assert.match(`${message} ${hint}`, new RegExp(peer.peerId), 'names the peer that is there')
      assert.doesNotMatch(hint, /is the peer running/)
    })
  }

  it('that expects another peer ID of us is not made, and we go on', async () => {
    const node = await lab.node({ handler: ({ payload }) => payload })
    const peer = await go.peer({ tasks: true })
    const wrong = addressOf(node).replace(node.peerId.toString(), STRANGER)
    await assert.rejects(peer.do('dial', { address: wrong }), /peer id mismatch/)
    await peer.do('dial', { address: addressOf(node) })
    await tasksBothWays(node, peer)
  })
})
