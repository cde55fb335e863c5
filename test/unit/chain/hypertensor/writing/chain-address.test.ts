import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { subnetBootnodes } from '../../../../../src/chain/hypertensor/node-peers.ts'
import { chooseAddress, toChainAddress } from '../../../../../src/chain/hypertensor/writing/chain-address.ts'

const PEER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const SELF = peerIdFromString(PEER)
const OTHER = '12D3KooWLGmub3LXuKQixBD5XwNW4PtSfnrysYzqs1oj19HxMUCF'

/** Given → on the chain, without the peer at the end. */
const ACCEPTED: Array<[string, string]> = [
  ['/ip4/203.0.113.7/tcp/38960', '/ip4/203.0.113.7/tcp/38960'],
  ['/ip6/2001:db8::7/tcp/38964', '/ip6/2001:db8::7/tcp/38964'],
  ['/dns4/peer.example.org/tcp/443/wss', '/dns4/peer.example.org/tcp/443/wss'],
  ['/dns6/peer.example.org/tcp/443/tls/ws', '/dns6/peer.example.org/tcp/443/wss'],
  ['/dnsaddr/peer.example.org', '/dnsaddr/peer.example.org'],
  ['/ip4/203.0.113.7/tcp/80/ws', '/ip4/203.0.113.7/tcp/80/ws'],
  ['/ip4/203.0.113.7/udp/38960', '/ip4/203.0.113.7/udp/38960'],
  ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/1'],
]

const REFUSED: Array<[string, RegExp]> = [
  ['/ip4/203.0.113.7/udp/1/quic-v1', /does not accept QUIC/],
  ['/ip4/203.0.113.7/udp/1/quic', /does not accept QUIC/],
  ['/ip4/203.0.113.7/udp/1/quic-v1/webtransport', /does not accept QUIC/],
  [`/ip4/203.0.113.7/tcp/1/p2p/${OTHER}/p2p-circuit`, /does not accept an address over a relay/],
  ['/dns/peer.example.org/tcp/1', /does not accept \/dns: use \/dns4 or \/dns6/],
  ['/ip4/203.0.113.7/tcp/443/tls', /does not accept \/tls/],
  ['/ip4/203.0.113.7/tcp/443/tls/sni/a.example/ws', /does not accept \/tls/],
  ['/ip6zone/eth0/ip6/fe80::1/tcp/1', /does not accept \/ip6zone/],
  ['/ip4/203.0.113.7/tcp/80/http', /does not accept \/http/],
  ['/unix/run%2Fsocket', /does not accept \/unix/],
  ['/ip4/0.0.0.0/tcp/1', /nobody can dial it/],
  ['/ip6/::/tcp/1', /nobody can dial it/],
  ['/ip4/203.0.113.7/tcp/0', /nobody can dial it/],
  [`/dns4/${'a'.repeat(1_000)}/tcp/1`, /over the chain's limit of 1024/],
  [`/ip4/203.0.113.7/tcp/1/p2p/${OTHER}/ip4/203.0.113.8/tcp/2`, /has a peer ID in the middle/],
  [`/p2p/${PEER}`, /has no host and no port/],
]

describe('the address of a peer for a Hypertensor chain', () => {
  for (const [given, expected] of ACCEPTED) {
    it(`is taken: ${given}`, () => {
      for (const address of [given, `${given}/p2p/${PEER}`]) {
        const found = toChainAddress(multiaddr(address), SELF)
        assert.equal(found.toString(), `${expected}/p2p/${PEER}`)
        const [read] = subnetBootnodes([[Buffer.from(PEER), found.bytes]], assert.fail)
        assert.deepEqual(read?.multiaddrs.map(String), [found.toString()], 'and is read from there as it was written')
      }
    })
  }

  for (const [given, reason] of REFUSED) {
    it(`is refused, with the reason: ${given.slice(0, 60)}`, () => {
      assert.throws(() => toChainAddress(multiaddr(given), SELF), reason)
    })
  }

  it('is the first that can be taken, and the others are told of', () => {
    const given = ['/ip4/203.0.113.7/udp/1/quic-v1', '/dns4/a.example/tcp/443/tls/ws', '/ip4/203.0.113.7/tcp/1'].map((text) =>
      multiaddr(text),
    )
    const { multiaddr: chosen, given: spelled, refused, left } = chooseAddress(given, SELF)
    assert.equal(chosen.toString(), `/dns4/a.example/tcp/443/wss/p2p/${PEER}`)
    assert.equal(spelled?.toString(), '/dns4/a.example/tcp/443/tls/ws')
    assert.deepEqual(
      refused.map(({ multiaddr, reason }) => [multiaddr.toString(), reason]),
      [['/ip4/203.0.113.7/udp/1/quic-v1', 'the chain does not accept QUIC']],
    )
    assert.deepEqual(left.map(String), ['/ip4/203.0.113.7/tcp/1'])
  })

  it('is a usage error where none can be: each with its reason, and what would be taken', () => {
    assert.throws(() => chooseAddress([multiaddr('/dns/a.example/tcp/1'), multiaddr('/ip4/1.2.3.4/udp/1/quic-v1')], SELF), {
      code: 'USAGE',
      message:
        /^no address that the chain accepts: \/dns\/a\.example\/tcp\/1: .*; \/ip4\/1\.2\.3\.4\/udp\/1\/quic-v1: the chain does not accept QUIC$/,
      hint: /^the chain accepts ip4, ip6, tcp, udp, dns4, dns6, dnsaddr, ws, wss and \/p2p at the end/,
    })
  })

  it('is never another peer’s', () => {
    const given = [multiaddr('/ip4/203.0.113.7/tcp/1'), multiaddr(`/ip4/203.0.113.7/tcp/1/p2p/${OTHER}`)]
    assert.throws(() => chooseAddress(given, SELF), { code: 'USAGE', message: /is the address of another peer$/, hint: /only for itself/ })
  })
})
