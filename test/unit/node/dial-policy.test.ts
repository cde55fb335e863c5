import assert from 'node:assert/strict'
import type { NetworkInterfaceInfo } from 'node:os'
import type { Connection } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { DialPolicy, type DialPolicyInit } from '../../../src/node/dial/dial-policy.ts'
import { NAMED_OVER, type NamedOver } from '../../../src/primitives/address-kind.ts'

const PEER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

/** A machine in 192.168.1.0/24, fd00:1::/64 and, by a wide interface, 10.8.0.0/16. */
const MACHINE = ['127.0.0.1/8', '192.168.1.7/24', '10.8.3.4/16', '::1/128', 'fd00:1::7/64'].map((cidr) => ({
  cidr,
  address: cidr.split('/')[0],
  family: cidr.includes(':') ? 'IPv6' : 'IPv4',
})) as NetworkInterfaceInfo[]

function policy(init: DialPolicyInit = {}): DialPolicy {
  return new DialPolicy({ networkInterfaces: () => ({ all: MACHINE }), ...init })
}

function at(host: string): Multiaddr {
  return multiaddr(host.startsWith('/') ? host : `/${host.includes(':') ? 'ip6' : 'ip4'}/${host}/tcp/4001/p2p/${PEER}`)
}

function over(...remotes: string[]): Connection[] {
  return remotes.map((remote) => ({ remoteAddr: at(remote) }) as Connection)
}

describe('the addresses that others name', () => {
  const dialled: Array<[host: string, over: NamedOver[]]> = [
    ['8.8.8.8', ['stranger', 'private', 'loopback', 'trusted']],
    ['2600:3c00::1', ['stranger', 'private', 'loopback', 'trusted']],
    ['192.168.1.9', ['stranger', 'private', 'loopback', 'trusted']],
    ['::ffff:192.168.1.9', ['stranger', 'private', 'loopback', 'trusted']],
    ['10.8.255.1', ['stranger', 'private', 'loopback', 'trusted']],
    ['fd00:1::9', ['stranger', 'private', 'loopback', 'trusted']],
    ['192.168.2.9', ['private', 'loopback', 'trusted']],
    ['10.9.0.1', ['private', 'loopback', 'trusted']],
    ['fd00:2::9', ['private', 'loopback', 'trusted']],
    ['127.0.0.1', ['loopback', 'trusted']],
    ['127.7.7.7', ['loopback', 'trusted']],
    ['::1', ['loopback', 'trusted']],
    ['169.254.169.254', ['trusted']],
    ['fe80::1', ['trusted']],
    ['0.0.0.0', ['trusted']],
    ['224.0.0.1', ['trusted']],
    ['/unix/%2Frun%2Fdocker.sock', ['trusted']],
    [`/ip4/8.8.8.8/tcp/1/p2p/${PEER}/p2p-circuit`, ['stranger', 'private', 'loopback', 'trusted']],
    [`/ip4/10.9.0.1/tcp/1/p2p/${PEER}/p2p-circuit`, ['private', 'loopback', 'trusted']],
    // judged when it is resolved
    ['/dns4/example.org/tcp/1', ['stranger', 'private', 'loopback', 'trusted']],
  ]
  for (const [host, expected] of dialled) {
    it(`${host} is dialled if it was named over: ${expected.join(', ')}`, () => {
      assert.deepEqual(
        NAMED_OVER.filter((way) => policy().refusalOf(at(host), way) == null),
        expected,
      )
    })
  }

  it('are all dialled with --allow-private, but for those that nobody names with good reason', () => {
    const allowing = policy({ allowPrivate: true })
    for (const [host, expected] of dialled) {
      assert.equal(allowing.refusalOf(at(host), 'stranger') == null, expected.length > 1, host)
    }
  })

  it('count as named over the nearest of the connections to who named them', () => {
    for (const [remotes, way] of [
      [[], 'stranger'],
      [['8.8.8.8'], 'stranger'],
      [['fe80::1'], 'stranger'],
      [['8.8.8.8', '10.0.0.1'], 'private'],
      [['10.0.0.1', '127.0.0.1'], 'loopback'],
      [[`/ip4/127.0.0.1/tcp/1/p2p/${PEER}/p2p-circuit`], 'stranger'],
      [['/dns4/localhost/tcp/1'], 'stranger'],
    ] as const) {
      assert.equal(policy().namedOver(over(...remotes)), way, remotes.join())
    }
  })

  it('count as named over what the name of a connection resolved to, where that is sure', () => {
    const rules = policy()
    for (const [ips, way] of [
      [['127.0.0.1', '::1'], 'loopback'],
      [['10.0.0.1'], 'private'],
      [['10.0.0.1', '127.0.0.1'], 'stranger'],
      [['127.0.0.1', '8.8.8.8'], 'stranger'],
    ] as const) {
      const [connection] = over('/dns4/localhost/tcp/1')
      rules.noteResolved(connection as Connection, [...ips])
      assert.equal(rules.namedOver([connection as Connection]), way, ips.join())
    }
  })

  it('are remembered by the most trusted way that they came', () => {
    const rules = policy()
    assert.notEqual(rules.refusalOf(at('127.0.0.1')), undefined)
    rules.note([at('127.0.0.1')], 'loopback')
    rules.note([at('127.0.0.1')], 'stranger')
    assert.equal(rules.refusalOf(at('127.0.0.1')), undefined)
    assert.notEqual(rules.refusalOf(at('127.0.0.2')), undefined)
  })

  it('follow the interfaces of the machine', () => {
    let now: NetworkInterfaceInfo[] = []
    const rules = policy({ networkInterfaces: () => ({ all: now }), now: () => time })
    let time = 0
    assert.notEqual(rules.refusalOf(at('192.168.1.9')), undefined)
    now = MACHINE
    time += 5_001
    assert.equal(rules.refusalOf(at('192.168.1.9')), undefined)
  })

  it('say why they are not dialled, each', () => {
    assert.throws(() => policy().checkAny([at('127.0.0.1'), at('192.168.9.9')]), {
      name: 'DialError',
      message:
        /127\.0\.0\.1 is an address of this machine, announced by another machine.*192\.168\.9\.9 is a private address outside the networks of this machine/s,
      hint: /--allow-private/,
    })
    policy().checkAny([at('127.0.0.1'), at('8.8.8.8')])
  })
})
