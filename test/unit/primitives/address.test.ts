import assert from 'node:assert/strict'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { base58btc } from 'multiformats/bases/base58'
import { identity } from 'multiformats/hashes/identity'
import {
  addressesOf,
  announceable,
  farthestFirst,
  parseMultiaddr,
  parsePeerId,
  parsePeerMultiaddr,
  parsePeerTarget,
  peerIdOf,
  withPeerId,
} from '../../../src/primitives/address.ts'
import { newPeer } from '../../support/keys.ts'

const ED25519 = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const OTHER = '12D3KooWLGmub3LXuKQixBD5XwNW4PtSfnrysYzqs1oj19HxMUCF'
const RSA = 'QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC'
/** The multihash of a text that is no key: libp2p takes it for the peer ID of an HTTP gateway. */
const URL_ID = base58btc.baseEncode(identity.digest(Buffer.from('http://example.org')).bytes)
const PLACE = '/ip4/127.0.0.1/tcp/38960'

const usage = { code: 'USAGE', hint: /12D3Koo.*Qm.*bafz.*\/p2p\// }
const texts = (addresses: Multiaddr[]): string[] => addresses.map(String)

describe('a peer ID', () => {
  it('is read in every spelling: base58 of either kind of key, and CIDv1', async () => {
    for (const text of [ED25519, RSA, (await newPeer('secp256k1')).peerId.toString(), (await newPeer('RSA')).peerId.toString()]) {
      const peerId = parsePeerId(text)
      assert.equal(peerId.toString(), text)
      const cid = peerId.toCID().toString()
      assert.match(cid, /^ba/)
      assert.ok(parsePeerId(cid).equals(peerId))
    }
    assert.match(parsePeerId(ED25519).toCID().toString(), /^bafz/)
  })

  for (const text of [
    '',
    ' ',
    'alice',
    '12D3KooW',
    `${ED25519}x`,
    ED25519.slice(0, -1),
    ED25519.replace('W', '0'),
    ` ${ED25519}`,
    `${ED25519}\n`,
    RSA.slice(0, -2),
    'Qm',
    'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N-',
    'bafz',
    'bafzqq',
    'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi',
    '1AAAAAAAAAAAA',
    URL_ID,
    'z6Mkw',
    '1',
    '💥',
    'a'.repeat(10_000),
  ]) {
    it(`is not ${JSON.stringify(text.slice(0, 60))}`, () => {
      assert.throws(() => parsePeerId(text), { ...usage, message: /^not a peer ID: / })
    })
  }
})

describe('a multiaddr', () => {
  it('is read, with the peer ID that it ends in', () => {
    const { peerId, multiaddr: address } = parsePeerMultiaddr(`${PLACE}/p2p/${ED25519}`)
    assert.equal(peerId.toString(), ED25519)
    assert.equal(address.toString(), `${PLACE}/p2p/${ED25519}`)
    const cid = parsePeerId(ED25519).toCID().toString()
    assert.ok(parsePeerMultiaddr(`${PLACE}/p2p/${cid}`).peerId.equals(peerId))
    assert.ok(parsePeerMultiaddr(`${PLACE}/ipfs/${ED25519}`).peerId.equals(peerId))
    assert.ok(parsePeerMultiaddr(`/p2p/${ED25519}`).peerId.equals(peerId))
  })

  it('of a relay names the peer behind it', () => {
    const behind = `${PLACE}/p2p/${OTHER}/p2p-circuit/p2p/${ED25519}`
    assert.equal(parsePeerMultiaddr(behind).peerId.toString(), ED25519)
    assert.equal(peerIdOf(multiaddr(`${PLACE}/p2p/${OTHER}/p2p-circuit`)), undefined)
  })

  it('without a peer ID at its end is a usage error that says so', () => {
    for (const text of [PLACE, `${PLACE}/p2p/${ED25519}/tcp/1`, '/dns4/example.org/tcp/443/wss']) {
      assert.throws(() => parsePeerMultiaddr(text), { code: 'USAGE', message: /without a peer ID at its end/, hint: /append \/p2p/ })
    }
  })

  it('that is malformed is a usage error that says what is wrong', () => {
    for (const text of [
      '',
      'nonsense',
      '/',
      '//',
      '/nonsense',
      '/ip4',
      '/ip4/999.0.0.1/tcp/1',
      '/ip4/127.0.0.1/tcp/99999',
      '/ip4/127.0.0.1/tcp',
      `${PLACE}/p2p`,
      `${PLACE}/p2p/`,
      `${PLACE}/p2p/nonsense`,
      `${PLACE}/p2p/${ED25519.slice(0, -1)}`,
      `${PLACE}/p2p/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi`,
      `${PLACE}/p2p/1AAAAAAAAAAAA`,
      `${PLACE}/p2p/${URL_ID}`,
      `${PLACE}/p2p/nonsense/p2p-circuit/p2p/${ED25519}`,
    ]) {
      assert.throws(() => parsePeerMultiaddr(text), { code: 'USAGE' }, text)
    }
    assert.throws(() => parseMultiaddr('/ip4/999.0.0.1/tcp/1'), {
      ...usage,
      message: /^not a multiaddr: "\/ip4\/999\.0\.0\.1\/tcp\/1" \(.+\)$/,
    })
  })
})

describe('a peer as the user names it', () => {
  it('is a peer ID or a multiaddr', () => {
    assert.deepEqual(Object.keys(parsePeerTarget(ED25519)), ['peerId'])
    const { peerId, multiaddr: address } = parsePeerTarget(`${PLACE}/p2p/${ED25519}`)
    assert.equal(peerId.toString(), ED25519)
    assert.equal(address?.toString(), `${PLACE}/p2p/${ED25519}`)
    assert.throws(() => parsePeerTarget('nobody'), { code: 'USAGE', message: /not a peer ID/ })
    assert.throws(() => parsePeerTarget(PLACE), { code: 'USAGE', message: /without a peer ID/ })
  })
})

describe('addresses of a peer', () => {
  const peerId = parsePeerId(ED25519)

  it('end in its /p2p; those that end in another peer’s are not its own', () => {
    assert.equal(withPeerId(multiaddr(PLACE), peerId)?.toString(), `${PLACE}/p2p/${ED25519}`)
    assert.equal(withPeerId(multiaddr(`${PLACE}/p2p/${ED25519}`), peerId)?.toString(), `${PLACE}/p2p/${ED25519}`)
    assert.equal(withPeerId(multiaddr(`${PLACE}/p2p/${OTHER}`), peerId), undefined)
    assert.equal(withPeerId(multiaddr(`${PLACE}/p2p/nonsense`), peerId), undefined)
  })

  it('are told once each, in order, and no more than wanted', () => {
    const given = [`${PLACE}/p2p/${OTHER}`, PLACE, `${PLACE}/p2p/${ED25519}`, '/ip4/10.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/2']
    const wanted = [PLACE, '/ip4/10.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/2'].map((place) => `${place}/p2p/${ED25519}`)
    assert.deepEqual(texts(addressesOf(peerId, given.map(multiaddr), 16)), wanted)
    assert.deepEqual(texts(addressesOf(peerId, given.map(multiaddr), 2)), wanted.slice(0, 2))
    assert.deepEqual(addressesOf(peerId, [], 16), [])
  })

  it('are only those whose text says the same as their bytes, and can be shown to a person', () => {
    const peerId = parsePeerId(ED25519)
    const dns4 = (name: string): Multiaddr => multiaddr(Buffer.from([0x36, Buffer.byteLength(name), ...Buffer.from(name)]))
    const lies = ['a/zzz', 'a/tcp/1', 'a\n/ip4/6.6.6.6/tcp/1', '\u001b]0;owned\u0007', 'ex\u202eample.org'].map(dns4)
    assert.deepEqual(texts(addressesOf(peerId, [...lies, dns4('example.org')], 16)), [`/dns4/example.org/p2p/${ED25519}`])
  })
})

describe('a multiaddr of nothing', () => {
  it('is none', () => {
    for (const text of ['', '/']) {
      assert.throws(() => parseMultiaddr(text), usage)
    }
  })
})

describe('what is worth telling others', () => {
  const LOOPBACK = ['/ip4/127.0.0.1/tcp/1', '/ip4/127.9.9.9/tcp/1', '/ip6/::1/tcp/1'].map((text) => multiaddr(text))
  const OTHERS = ['/ip4/192.168.0.1/tcp/1', '/ip4/8.8.8.8/tcp/1', '/ip6/2001:db8::1/tcp/1', '/dns4/example.org/tcp/1'].map((text) =>
    multiaddr(text),
  )

  it('is loopback only where there is nothing else', () => {
    assert.deepEqual(texts(announceable([...LOOPBACK, ...OTHERS])), texts(OTHERS))
    assert.deepEqual(texts(announceable(LOOPBACK)), texts(LOOPBACK))
    assert.deepEqual(announceable([]), [])
  })

  it('is the same with and without /p2p', () => {
    const complete = [...LOOPBACK, ...OTHERS].map((address) => address.encapsulate(`/p2p/${ED25519}`))
    assert.deepEqual(texts(announceable(complete)), texts(complete.slice(LOOPBACK.length)))
  })

  it('is told with those first that everybody can dial, else in the order given', () => {
    const [loopback, home, far, carrier, far6, local6, name] = [
      '/ip4/127.0.0.1/tcp/1',
      '/ip4/192.168.0.1/tcp/1',
      '/ip4/45.79.0.1/tcp/1',
      '/ip4/100.64.0.1/tcp/1',
      '/ip6/2600:3c00::1/tcp/1',
      '/ip6/fd00::1/tcp/1',
      '/dns4/example.org/tcp/1',
    ].map((text) => multiaddr(text)) as [Multiaddr, Multiaddr, Multiaddr, Multiaddr, Multiaddr, Multiaddr, Multiaddr]
    assert.deepEqual(
      texts(farthestFirst([loopback, home, far, carrier, far6, local6, name])),
      texts([far, far6, name, home, carrier, local6, loopback]),
    )
  })
})
