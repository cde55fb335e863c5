import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { type Identified, identified } from './expectations.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { RustLab } from './rust-peer.ts'

for (const dialler of ['node', 'rust'] as const) {
  describe(`a connection that ${dialler === 'node' ? 'we dialled' : 'a Rust peer dialled'}`, function () {
    this.timeout(60_000)
    const lab = new Lab()
    const rust = new RustLab()
    let node: SubnetNode
    let me: string
    let peer: ForeignPeer

    before(async () => {
      node = await lab.node({ handler: ({ payload }) => payload, agent: 'interop/1.2.3' })
      me = node.peerId.toString()
      peer = await rust.peer({ tasks: true })
    })

    after(async () => {
      await rust.clean()
      await lab.clean()
    })

    it('is made, secured by noise and multiplexed by yamux', async () => {
      const connected = event(node, 'peer:connect', ({ peerId }) => peerId === peer.peerId)
      if (dialler === 'node') {
        await node.ping(multiaddr(peer.address))
      } else {
        await peer.do('dial', { address: addressOf(node) })
      }
      const { direction } = await connected
      assert.equal(direction, dialler === 'node' ? 'outbound' : 'inbound')
      assert.deepEqual(
        node.connections.map(({ remotePeer, encryption, multiplexer }) => [remotePeer.toString(), encryption, multiplexer]),
        [[peer.peerId, '/noise', '/yamux/1.0.0']],
      )
    })

    it('tells us who the Rust peer is, and where it listens', async () => {
      const { agent, protocols, multiaddrs } = await identified(node, peer.peerId)
      assert.match(String(agent), /^rust-libp2p\//)
      assert.ok(protocols.includes(node.tasks.id), protocols.join())
      // it signs no record: what it says of its addresses is not believed
      assert.deepEqual(multiaddrs.map(String), dialler === 'node' ? [peer.address] : [])
    })

    it('tells the Rust peer who we are, and where we listen', async () => {
      const { agent, protocols, addresses } = await peer.do<Identified>('identify', { peer: me })
      assert.equal(agent, 'interop/1.2.3')
      assert.ok(protocols.includes(node.tasks.id), protocols.join())
      assert.deepEqual(addresses, [addressOf(node).replace(`/p2p/${me}`, '')])
    })

    it('carries pings both ways', async () => {
      const { ms } = await node.ping(node.connections[0]?.remotePeer ?? assert.fail())
      assert.ok(ms >= 0)
      assert.ok(Number((await peer.do('ping', { peer: me }))['ms']) > 0)
    })

    it('ends, and both know', async () => {
      const disconnected = event(node, 'peer:disconnect', ({ peerId }) => peerId === peer.peerId)
      await peer.do('leave', { peer: me })
      await disconnected
      assert.deepEqual(node.connections, [])
    })
  })
}

const HAS_IPV6 = Object.values(networkInterfaces()).some((found) => found?.some(({ address }) => address === '::1'))

describe('a connection with a Rust peer', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const rust = new RustLab()
  let node: SubnetNode
  let me: string

  before(async () => {
    const listen = ['/ip4/127.0.0.1/tcp/0', ...(HAS_IPV6 ? ['/ip6/::1/tcp/0'] : [])]
    node = await lab.node({ handler: ({ payload }) => payload, settings: { listen } })
    me = node.peerId.toString()
  })

  after(async () => {
    await rust.clean()
    await lab.clean()
  })

  async function carriesTasks(peer: ForeignPeer): Promise<void> {
    const { result } = await node.tasks.sendTask(peerIdFromString(peer.peerId), 'a task', Buffer.from('ours'), { connectedOnly: true })
    assert.equal(Buffer.from(result).toString(), 'ours')
    assert.equal((await peer.do('call', { peer: me, taskId: 'a task', size: 10 }))['accepted'], true)
  }

  /** Waits until both have the connection: the peer has sent the last message of the handshake before we have checked it. */
  async function isDialled(peer: ForeignPeer, address: string): Promise<void> {
    const connected = event(node, 'peer:connect', ({ peerId }) => peerId === peer.peerId)
    await peer.do('dial', { address })
    await connected
  }

  function listening(family: '/ip4' | '/ip6'): string {
    return node.multiaddrs.map(String).find((address) => address.startsWith(family)) ?? assert.fail(`no ${family} address`)
  }

  for (const key of ['ed25519', 'secp256k1', 'rsa', 'ecdsa'] as const) {
    it(`whose key is ${key} is made by us, and carries tasks both ways`, async () => {
      const peer = await rust.peer({ key, tasks: true })
      await node.ping(multiaddr(peer.address))
      await carriesTasks(peer)
    })

    it(`whose key is ${key} is made by it, and carries tasks both ways`, async () => {
      const peer = await rust.peer({ key, tasks: true })
      await isDialled(peer, listening('/ip4'))
      await carriesTasks(peer)
    })
  }

  it('over IPv6 is made by us, and carries tasks both ways', async function () {
    if (!HAS_IPV6) {
      this.skip()
    }
    const peer = await rust.peer({ tasks: true, listen: ['/ip6/::1/tcp/0'] })
    await node.ping(multiaddr(peer.address))
    await carriesTasks(peer)
  })

  it('over IPv6 is made by it, and carries tasks both ways', async function () {
    if (!HAS_IPV6) {
      this.skip()
    }
    const peer = await rust.peer({ tasks: true })
    await isDialled(peer, listening('/ip6'))
    await carriesTasks(peer)
  })

  it('to a name is made by us, and carries tasks both ways', async () => {
    const peer = await rust.peer({ tasks: true })
    await node.ping(multiaddr(peer.address.replace('/ip4/127.0.0.1', '/dns4/localhost')))
    await carriesTasks(peer)
  })

  it('to a name is made by it, and carries tasks both ways', async () => {
    const peer = await rust.peer({ tasks: true })
    await isDialled(peer, listening('/ip4').replace('/ip4/127.0.0.1', '/dns4/localhost'))
    await carriesTasks(peer)
  })

  it('that tells a signed record of the kind that only rust-libp2p reads carries tasks both ways', async () => {
    const peer = await rust.peer({ tasks: true, signedRecord: true })
    await node.ping(multiaddr(peer.address))
    await carriesTasks(peer)
  })

  it('is not made where another peer has the address', async () => {
    const other = await rust.peer()
    const peer = await rust.peer()
    await assert.rejects(node.ping(multiaddr(peer.address.replace(peer.peerId, other.peerId))), { code: 'UNREACHABLE' })
    await assert.rejects(other.do('dial', { address: listening('/ip4').replace(me, peer.peerId) }), { failed: 'WrongPeerId' })
  })
})
