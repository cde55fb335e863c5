import assert from 'node:assert/strict'
import { homeAt } from '../../../src/node/home/home.ts'
import { loadSettings } from '../../../src/node/home/load-settings.ts'
import { parseAnnounce, parseListen } from '../../../src/node/home/named-addresses.ts'
import { PEER_ID } from '../../support/seeds.ts'

const BOTH: Array<[address: string, reason: RegExp]> = [
  ['/ip4/224.0.0.1/tcp/4001', /a multicast address/],
  ['/ip6/ff02::1/tcp/4001', /a multicast address/],
  ['/ip4/255.255.255.255/tcp/4001', /a broadcast address/],
  ['/ip4/169.254.7.7/tcp/4001', /a link-local address/],
  ['/ip6/fe80::1/tcp/4001', /a link-local address/],
  ['/ip6/::ffff:169.254.7.7/tcp/4001', /a link-local address/],
  ['/ip4/100.100.100.200/tcp/4001', /no peer dials such an address/],
  ['/ip4/127.0.0.1', /the address has no transport/],
  [`/ip4/127.0.0.1/p2p/${PEER_ID}`, /the address has no transport/],
  [`/p2p/${PEER_ID}`, /the address begins with \/p2p/],
  ['/ip4/127.0.0.1/udp/4001', /over UDP, only quic-v1 is supported/],
  ['/ip4/127.0.0.1/udp/4001/quic', /over UDP, only quic-v1 is supported/],
  ['/ip4/127.0.0.1/udp/4001/quic-v1/webtransport', /transport webtransport over QUIC is not supported/],
  ['/ip4/127.0.0.1/tcp/4001/ws', /transport ws over TCP is not supported/],
  ['/dns4/node.example/tcp/443/tls/ws', /transport tls over TCP is not supported/],
  ['/unix/%2Ftmp%2Fnode.sock', /the address begins with \/unix/],
]

const LISTEN_ONLY: typeof BOTH = [
  [`/ip4/127.0.0.1/tcp/4001/p2p/${PEER_ID}/p2p-circuit`, /does not listen on a relayed address/],
  ['/dnsaddr/node.example', /the address begins with \/dnsaddr/],
  ['/dns4/node.example/udp/4001/quic-v1', /QUIC listens only on an IP address/],
]

const ANNOUNCE_ONLY: typeof BOTH = [
  ['/ip4/0.0.0.0/tcp/4001', /the unspecified address/],
  ['/ip6/::/tcp/4001', /the unspecified address/],
  ['/ip4/127.0.0.1/tcp/0', /port 0 cannot be dialled/],
  ['/dns4/node.example/tcp/0', /port 0 cannot be dialled/],
  ['/ip4/127.0.0.1/udp/0/quic-v1', /port 0 cannot be dialled/],
]

const FIT = {
  listen: [
    '/ip4/0.0.0.0/tcp/0',
    '/ip6/::/tcp/4001',
    '/ip4/127.0.0.1/tcp/0',
    '/dns4/localhost/tcp/0',
    `/ip4/10.0.0.1/tcp/1/p2p/${PEER_ID}`,
    '/ip4/0.0.0.0/udp/0/quic-v1',
    '/ip6/::1/udp/4001/quic-v1',
  ],
  announce: [
    '/ip4/127.0.0.1/tcp/4001',
    '/ip4/10.0.0.7/tcp/4001',
    '/ip6/fd00::7/tcp/4001',
    '/ip4/45.79.0.1/tcp/4001',
    `/ip4/45.79.0.1/tcp/4001/p2p/${PEER_ID}`,
    '/dns/node.example/tcp/4001',
    '/dnsaddr/node.example',
    '/ip4/45.79.0.1/udp/4001/quic-v1',
    '/dns4/node.example/udp/4001/quic-v1',
    `/ip4/45.79.0.1/tcp/4001/p2p/${PEER_ID}/p2p-circuit`,
  ],
}

describe('an address that a user names', () => {
  for (const [address, reason] of [...BOTH, ...LISTEN_ONLY]) {
    it(`is none to listen on: ${address}`, () => {
      assert.throws(() => parseListen(address), { code: 'USAGE', message: reason })
    })
  }

  for (const [address, reason] of [...BOTH, ...ANNOUNCE_ONLY]) {
    it(`is none to announce: ${address}`, () => {
      assert.throws(() => parseAnnounce(address), { code: 'USAGE', message: reason })
    })
  }

  it('may be any that can work, private ones and loopback too', () => {
    assert.deepEqual(FIT.listen.map(String), FIT.listen.map(parseListen).map(String))
    assert.deepEqual(FIT.announce.map(String), FIT.announce.map(parseAnnounce).map(String))
  })

  it('is named where it is one of many, whoever named it', async () => {
    const home = homeAt('/nowhere')
    const [good, bad] = ['/ip4/127.0.0.1/tcp/4001', '/ip4/0.0.0.0/tcp/4001']
    const flags = loadSettings({ flags: { announce: [good, bad] }, env: {}, home })
    await assert.rejects(flags, {
      code: 'USAGE',
      message: `--announce: cannot announce ${bad}: the unspecified address cannot be dialled`,
    })
    const env = loadSettings({ flags: {}, env: { SUBNET_LISTEN: `${good},/ip4/224.0.0.1/tcp/1` }, home })
    await assert.rejects(env, { code: 'USAGE', message: /^SUBNET_LISTEN: cannot listen on \/ip4\/224\.0\.0\.1\/tcp\/1: a multicast/ })
  })
})
