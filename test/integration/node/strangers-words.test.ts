import assert from 'node:assert/strict'
import { once } from 'node:events'
import { identify } from '@libp2p/identify'
import type { Connection } from '@libp2p/interface'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import { Dialler } from '../../../src/node/dial/dialler.ts'
import { walkTo } from '../../../src/node/stack/kademlia-walk.ts'
import type { NamedOver } from '../../../src/primitives/address-kind.ts'
import { newPeer } from '../../support/keys.ts'
import { SocketLog } from '../../support/lying-dht.ts'
import { OtherStacks } from '../../support/other-stacks.ts'

/** Of a node that knows nothing but strangers far away, and dials none of them: nothing leaves this machine. */
class FarFromAll extends DialPolicy {
  override namedOver(_connections: Connection[]): NamedOver {
    return 'stranger'
  }

  override refusalOfIp(): string {
    return 'this is a test'
  }
}

describe('what strangers told libp2p', () => {
  const stacks = new OtherStacks()
  let sockets: SocketLog

  beforeEach(() => {
    sockets = new SocketLog()
  })

  afterEach(async () => {
    sockets.stop()
    await stacks.stop()
  })

  function placesOf(addresses: Multiaddr[]): string[] {
    return addresses.map((address) => address.decapsulateCode(CODE_P2P).toString()).sort()
  }

  it('makes it dial few of them of its own accord, each address counted, and only where that is allowed', async () => {
    const policy = new DialPolicy({ networkInterfaces: () => ({}) })
    const stack = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'], policy })
    for (let peers = 0; peers < 40; peers++) {
      const { peerId } = await newPeer()
      const multiaddrs = [1, 2].map((port) => multiaddr(`/ip4/127.0.0.1/tcp/${port}/p2p/${peerId.toString()}`))
      policy.note(multiaddrs, peers < 5 ? 'stranger' : 'loopback')
      await stack.peerStore.merge(peerId, { multiaddrs: [...multiaddrs, multiaddr('/unix/%2Frun%2Fdocker.sock')] })
      await assert.rejects(stack.dial(peerId))
    }
    assert.ok(sockets.ports.length >= 32 && sockets.ports.length < 40, `${sockets.ports.length} dials`)
    assert.deepEqual(sockets.paths, [])
  })

  it('is told on, private addresses too: others may be in those networks', async () => {
    const kadProtocol = '/told-on/kad/1.0.0'
    const announce = ['/ip4/10.1.0.2/tcp/4001', '/ip4/45.79.0.2/tcp/4001', '/dns4/peer.test/tcp/4001']
    const hub = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'], kadProtocol, policy: new FarFromAll() })
    const peer = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'], kadProtocol, announce })
    await Promise.all([once(hub as unknown as EventTarget, 'peer:identify'), peer.dial(hub.getMultiaddrs())])
    // it may dial all, but has no dial
    const asker = await stacks.ours({ kadProtocol, policy: new DialPolicy({ allowPrivate: true }) })
    await new Dialler(asker.services.dial).dial(hub.getMultiaddrs())
    const found = await walkTo(asker, peer.peerId, 16, AbortSignal.timeout(15_000), () => false)
    assert.deepEqual(placesOf(found), [...announce].sort())
  })

  it('is not told on where nobody signed it and it is in a private network', async () => {
    const kadProtocol = '/not-told-on/kad/1.0.0'
    const hub = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'], kadProtocol, policy: new FarFromAll() })
    const { peerId } = await newPeer()
    const multiaddrs = ['/ip4/10.1.0.2/tcp/4001', '/ip4/45.79.0.2/tcp/4001', '/ip4/127.0.0.1/tcp/4001'].map((text) => multiaddr(text))
    await hub.peerStore.merge(peerId, { multiaddrs })
    const asker = await stacks.ours({ kadProtocol, policy: new DialPolicy({ allowPrivate: true }) })
    await new Dialler(asker.services.dial).dial(hub.getMultiaddrs())
    const found = await walkTo(asker, peerId, 16, AbortSignal.timeout(15_000), () => false)
    assert.deepEqual(placesOf(found), ['/ip4/45.79.0.2/tcp/4001'])
  })

  it('is not taken for the word of the peer that it is about, however near that is', async () => {
    const policy = new DialPolicy({ networkInterfaces: () => ({}) })
    const hub = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'], policy })
    const identified = once(hub as unknown as EventTarget, 'peer:identify')
    const peer = await stacks.start({ services: { identify: identify() } })
    await peer.dial(hub.getMultiaddrs())
    await identified
    const elsewhere = multiaddr(`/dns4/elsewhere.test/tcp/22/p2p/${peer.peerId.toString()}`)
    // so libp2p notes what the DHT's answers name
    await hub.peerStore.merge(peer.peerId, { multiaddrs: [elsewhere] })
    assert.equal(policy.wayOf(elsewhere), 'stranger')
    assert.equal(policy.wayOf(stacks.addressOf(peer)), 'loopback')
  })

  it('is not noted where it is what nobody dials for others', async () => {
    const hub = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'], policy: new FarFromAll() })
    const identified = once(hub as unknown as EventTarget, 'peer:identify')
    const announce = ['/unix/%2Frun%2Fdocker.sock', '/ip4/169.254.169.254/tcp/80', '/ip4/224.0.0.1/tcp/1', '/ip4/45.79.0.2/tcp/4001']
    const peer = await stacks.start({ addresses: { listen: [], announce }, services: { identify: identify() } })
    await peer.dial(hub.getMultiaddrs())
    await identified
    const { addresses } = await hub.peerStore.get(peer.peerId)
    assert.deepEqual(placesOf(addresses.map(({ multiaddr }) => multiaddr)), ['/ip4/45.79.0.2/tcp/4001'])
  })
})
