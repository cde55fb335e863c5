import assert from 'node:assert/strict'
import type { Connection, PeerId } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { OwnCandidates, type OwnCandidatesInit } from '../../../src/node/reachability/own-candidates.ts'

const PEER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

describe('the addresses at which a node may be reached from outside', () => {
  function candidates(init: { announced?: string[]; listening?: string[]; isOutside?: OwnCandidatesInit['isOutside'] }): OwnCandidates {
    return new OwnCandidates({
      announced: () => (init.announced ?? []).map((address) => multiaddr(`${address}/p2p/${PEER}`)),
      listening: () => (init.listening ?? []).map((address) => multiaddr(address)),
      isOutside: init.isOutside ?? (() => true),
    })
  }

  function peer(name: string): PeerId {
    return { toString: () => name } as PeerId
  }

  /** What a peer tells with identify. */
  function seen(name: string, host: string, status = 'open'): Parameters<OwnCandidates['observed']>[0] {
    const connection = { remotePeer: peer(name), status } as Connection
    return { connection, observedAddr: multiaddr(host.startsWith('/') ? host : `/ip4/${host}/tcp/51234`) }
  }

  function texts(of: OwnCandidates): string[] {
    return of.list().map(String)
  }

  it('are its own public ones, without those of private networks and of relays', () => {
    const announced = [
      '/ip4/45.79.0.1/tcp/38960',
      '/ip4/10.0.0.7/tcp/38960',
      '/ip6/2600:3c00::1/tcp/38960',
      `/ip4/45.79.0.9/tcp/1/p2p/${PEER}/p2p-circuit`,
    ]
    assert.deepEqual(texts(candidates({ announced })), ['/ip4/45.79.0.1/tcp/38960', '/ip6/2600:3c00::1/tcp/38960'])
  })

  it('are the host that a peer sees, with the ports on which the node listens', () => {
    const own = candidates({
      announced: ['/ip4/10.0.0.7/tcp/38960'],
      listening: ['/ip4/127.0.0.1/tcp/1', '/ip4/10.0.0.7/tcp/38960', '/ip6/fd00::7/tcp/4001'],
    })
    own.observed(seen('a', '45.79.0.1'))
    assert.deepEqual(texts(own), ['/ip4/45.79.0.1/tcp/38960'])
  })

  it('are the host that a peer sees, with the port of a name that the user announces', () => {
    const own = candidates({ announced: ['/dns4/me.example/tcp/443'], listening: ['/ip4/10.0.0.7/tcp/38960'] })
    own.observed(seen('a', '45.79.0.1'))
    assert.deepEqual(texts(own), ['/ip4/45.79.0.1/tcp/38960', '/ip4/45.79.0.1/tcp/443'])
  })

  it('are that host over QUIC too, where the node listens on it', () => {
    const own = candidates({
      listening: ['/ip4/10.0.0.7/tcp/38960', '/ip4/10.0.0.7/udp/38961/quic-v1', '/ip4/10.0.0.7/udp/5/webrtc-direct'],
    })
    own.observed(seen('a', '/ip4/45.79.0.1/udp/51234/quic-v1'))
    assert.deepEqual(texts(own), ['/ip4/45.79.0.1/tcp/38960', '/ip4/45.79.0.1/udp/38961/quic-v1'])
  })

  it('are each named once', () => {
    const own = candidates({ announced: ['/ip4/45.79.0.1/tcp/38960'], listening: ['/ip4/45.79.0.1/tcp/38960'] })
    own.observed(seen('a', '45.79.0.1'))
    assert.deepEqual(texts(own), ['/ip4/45.79.0.1/tcp/38960'])
  })

  it('are not what a peer inside sees, a private host, a name or a relay', () => {
    const own = candidates({ listening: ['/ip4/10.0.0.7/tcp/38960'], isOutside: ({ remotePeer }) => remotePeer.toString() !== 'inside' })
    own.observed(seen('inside', '45.79.0.1'))
    own.observed(seen('a', '192.168.1.1'))
    own.observed(seen('b', '/dns4/me.example/tcp/1'))
    own.observed(seen('c', `/ip4/45.79.0.9/tcp/1/p2p/${PEER}/p2p-circuit`))
    assert.deepEqual(texts(own), [])
  })

  it('are the two hosts that most peers see: one that lies changes nothing', () => {
    const own = candidates({ listening: ['/ip4/10.0.0.7/tcp/38960'] })
    for (const [name, host] of [
      ['liar', '45.79.0.3'],
      ['a', '45.79.0.1'],
      ['b', '45.79.0.1'],
      ['c', '45.79.0.2'],
      ['d', '45.79.0.2'],
    ] as const) {
      own.observed(seen(name, host))
    }
    assert.deepEqual(texts(own), ['/ip4/45.79.0.1/tcp/38960', '/ip4/45.79.0.2/tcp/38960'])
  })

  it('stay when the last peer leaves, until the node moves', () => {
    const own = candidates({ listening: ['/ip4/10.0.0.7/tcp/38960'] })
    own.observed(seen('a', '45.79.0.1', 'closed'))
    own.disconnected(peer('a'))
    assert.deepEqual(texts(own), ['/ip4/45.79.0.1/tcp/38960'])
    own.moved()
    assert.deepEqual(texts(own), [])
  })

  it('are at most six', () => {
    const announced = Array.from({ length: 9 }, (_, index) => `/ip4/45.79.0.${index + 1}/tcp/38960`)
    assert.equal(texts(candidates({ announced })).length, 6)
  })
})
