import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import { remoteHostOf } from '../../../src/node/stack/remote-host.ts'

const RELAY = '/ip4/192.0.2.7/tcp/1/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb/p2p-circuit'
const HOSTS: Array<[address: string, name: string, local: boolean]> = [
  ['/ip4/192.0.2.7/tcp/1', '192.0.2.7', false],
  ['/ip4/127.3.2.1/tcp/1', '127.3.2.1', true],
  ['/ip6/::ffff:192.0.2.7/tcp/1', '192.0.2.7', false],
  ['/ip6/::ffff:127.0.0.1/tcp/1', '127.0.0.1', true],
  ['/ip6/::1/tcp/1', '::1', true],
  ['/ip6/2001:db8:0:1:2:3:4:5/tcp/1', '2001:db8:0:1::/64', false],
  ['/ip6/2001:db8::7/tcp/1', '2001:db8::/64', false],
  ['/ip6zone/eth0/ip6/fe80::1/tcp/1', 'fe80::/64', false],
  [RELAY, '192.0.2.7', false],
  [`${RELAY}/p2p/12D3KooWLGmub3LXuKQixBD5XwNW4PtSfnrysYzqs1oj19HxMUCF`, '192.0.2.7', false],
  ['/dns4/relay.example/tcp/1', 'dns4 relay.example', false],
  ['/unix/tmp%2Fsocket', 'unix tmp/socket', true],
  ['/p2p-circuit', 'p2p-circuit', false],
]

describe('the host at the other end', () => {
  for (const [address, name, local] of HOSTS) {
    it(`of ${address} is ${name}${local ? ', of this machine' : ''}`, () => {
      assert.deepEqual(remoteHostOf(multiaddr(address)), { name, local })
    })
  }

  it('is one for a whole /64, and another for the next', () => {
    const names = ['2001:db8:0:1::1', '2001:db8:0:1:ffff::9', '2001:db8:0:2::1'].map(
      (ip) => remoteHostOf(multiaddr(`/ip6/${ip}/tcp/1`)).name,
    )
    assert.deepEqual(names, ['2001:db8:0:1::/64', '2001:db8:0:1::/64', '2001:db8:0:2::/64'])
  })
})
