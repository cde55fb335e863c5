import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import { isRelayed, kindOf, kindOfIp, moreTrusted } from '../../../src/primitives/address-kind.ts'

const PEER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

describe('the kind of an IP address', () => {
  for (const [kind, addresses] of Object.entries({
    public: ['8.8.8.8', '45.79.0.1', '2600:3c00::1', '::ffff:8.8.8.8', '64:ff9b::808:808', '2002:808:808::1'],
    private: ['10.0.0.1', '172.16.0.1', '192.168.1.1', '100.64.0.1', '192.0.2.1', '198.18.0.1', '240.0.0.1', 'fd00::1', '2001:db8::1'],
    loopback: ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1'],
    never: [
      '0.0.0.0',
      '0.1.2.3',
      '::',
      '255.255.255.255',
      '224.0.0.1',
      '239.255.255.250',
      'ff02::1',
      '169.254.169.254',
      'fe80::1',
      'fe80::1%eth0',
      'fe80::1%br-0a1b',
      '::7f00:1',
      '64:ff9b:1:7f00:1:0:808:808',
      'fd00:ec2::254',
      'fd20:ce::254',
      '100.100.100.200',
      '::ffff:168.63.129.16',
    ],
  })) {
    for (const address of addresses) {
      it(`${address} is ${kind}`, () => assert.equal(kindOfIp(address), kind))
    }
  }

  for (const address of ['64:ff9b::7f00:1', '64:ff9b::a00:1', '2002:7f00:1::1', '2002:a00:1::1', '::ffff:0:127.0.0.1']) {
    it(`${address}, a gateway's word for an address that is not public, is never dialled`, () => assert.equal(kindOfIp(address), 'never'))
  }

  it('is that of IPv4 where IPv6 maps it', () => assert.equal(kindOfIp('::ffff:10.0.0.1'), 'private'))
})

describe('the kind of a multiaddr', () => {
  for (const [text, kind] of [
    ['/ip4/8.8.8.8/tcp/1', 'public'],
    ['/ip6/fd00::1/tcp/1', 'private'],
    ['/dns4/example.org/tcp/1', 'name'],
    ['/dnsaddr/example.org', 'name'],
    ['/dns4/127.0.0.1/tcp/1', 'loopback'],
    ['/dns4/127.1/tcp/1', 'loopback'],
    ['/dns/0x7f000001/tcp/1', 'loopback'],
    ['/dns6/::1/tcp/1', 'loopback'],
    ['/dns6/::1%a-b/tcp/1', 'loopback'],
    ['/dns/::ffff:169.254.169.254%a.b/tcp/1', 'never'],
    ['/unix/%2Frun%2Fdocker.sock', 'never'],
    [`/dns4/${'a'.repeat(600)}/tcp/1`, 'never'],
    ['/ip6zone/eth0/ip6/fe80::1/tcp/1', 'never'],
    [`/p2p/${PEER}`, 'never'],
    [`/p2p/${PEER}/p2p-circuit`, 'never'],
    [`/ip4/8.8.8.8/tcp/1/p2p/${PEER}/p2p-circuit`, 'public'],
    [`/ip4/127.0.0.1/tcp/1/p2p/${PEER}/p2p-circuit`, 'loopback'],
  ] as const) {
    it(`${text.slice(0, 80)} is ${kind}`, () => assert.equal(kindOf(multiaddr(text)), kind))
  }

  it('tells relayed ones', () => {
    assert.equal(isRelayed(multiaddr(`/ip4/8.8.8.8/tcp/1/p2p/${PEER}/p2p-circuit`)), true)
    assert.equal(isRelayed(multiaddr('/ip4/8.8.8.8/tcp/1')), false)
  })
})

describe('how an address came here', () => {
  it('is the more trusted of two ways', () => {
    assert.equal(moreTrusted('stranger', 'private'), 'private')
    assert.equal(moreTrusted('trusted', 'loopback'), 'trusted')
  })
})
