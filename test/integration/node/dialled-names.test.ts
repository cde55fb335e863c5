import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type DNS, dns, RecordType } from '@multiformats/dns'
import { multiaddr } from '@multiformats/multiaddr'
import { DialError } from '../../../src/node/dial/dial-failure.ts'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import { Dialler } from '../../../src/node/dial/dialler.ts'
import type { NamedOver } from '../../../src/primitives/address-kind.ts'
import { SocketLog } from '../../support/lying-dht.ts'
import { OtherStacks } from '../../support/other-stacks.ts'

const V4: LookupAddress = { address: '127.0.0.1', family: 4 }
const V6: LookupAddress = { address: '::1', family: 6 }
const V4_AS_V6: LookupAddress = { address: '::ffff:127.0.0.1', family: 6 }

/** A resolver that knows one name; it keeps as little to the family that it is asked for as some do. */
function resolverOf(addresses: LookupAddress[]): LookupFunction {
  return (hostname, { all }, callback) => {
    const [first] = hostname === 'peer.test' ? addresses : []
    if (first == null) {
      callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), [])
    } else if (all === true) {
      callback(null, addresses)
    } else {
      callback(null, first.address, first.family)
    }
  }
}

describe('a name in an address', () => {
  const stacks = new OtherStacks()

  before(function () {
    if (!Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1') === true)) {
      this.skip()
    }
  })

  after(async () => stacks.stop())

  /** Where the connection went that a dial of `/<protocol>/<name>` to a node on `listen` gave. */
  async function dial(
    protocol: string,
    known: LookupAddress[],
    listen: '/ip4/127.0.0.1' | '/ip6/::1',
    name = 'peer.test',
  ): Promise<string> {
    const other = await stacks.start({ addresses: { listen: [`${listen}/tcp/0`] } })
    const port = stacks.addressOf(other).getComponents()[1]?.value
    const dialler = new Dialler((await stacks.ours({ lookup: resolverOf(known) })).services.dial)
    const connection = await dialler.dial([multiaddr(`/${protocol}/${name}/tcp/${port}/p2p/${other.peerId.toString()}`)])
    return connection.remotePeer.equals(other.peerId) ? 'reached' : 'another peer'
  }

  async function failure(...args: Parameters<typeof dial>): Promise<DialError> {
    const error = await dial(...args).then(String, (reason: unknown) => reason)
    assert.ok(error instanceof DialError, String(error))
    return error
  }

  for (const [protocol, known, listen] of [
    ['dns4', [V4], '/ip4/127.0.0.1'],
    ['dns4', [V6, V4], '/ip4/127.0.0.1'],
    ['dns6', [V6], '/ip6/::1'],
    ['dns6', [V4, V6], '/ip6/::1'],
    ['dns', [V4], '/ip4/127.0.0.1'],
    ['dns', [V6], '/ip6/::1'],
    ['dns', [V6, V4], '/ip4/127.0.0.1'],
  ] as const) {
    it(`${protocol} of ${known.map(({ address }) => address).join(' and ')} reaches a peer on ${listen}`, async () => {
      assert.equal(await dial(protocol, [...known], listen), 'reached')
    })
  }

  for (const [protocol, known, listen, says] of [
    ['dns6', [V4], '/ip4/127.0.0.1', /: peer\.test has no IPv6 address \(ENOTFOUND\)$/],
    ['dns6', [V4_AS_V6], '/ip4/127.0.0.1', /: peer\.test has no IPv6 address \(ENOTFOUND\)$/],
    ['dns4', [V6], '/ip6/::1', /: peer\.test has no IPv4 address \(ENOTFOUND\)$/],
  ] as const) {
    it(`${protocol} of ${known.map(({ address }) => address).join(' and ')} does not reach a peer on ${listen}`, async () => {
      const { message, hint } = await failure(protocol, [...known], listen)
      assert.match(message, says)
      assert.match(hint ?? '', /is the name right\? \/dns4 stands for its IPv4 addresses/)
    })
  }

  it('does not stand for an IP address of the other family', async () => {
    assert.match((await failure('dns6', [], '/ip4/127.0.0.1', '127.0.0.1')).message, /: 127\.0\.0\.1 is not an IPv6 address$/)
    assert.match((await failure('dns4', [], '/ip6/::1', '::1')).message, /: ::1 is not an IPv4 address$/)
    assert.equal(await dial('dns4', [], '/ip4/127.0.0.1', '127.0.0.1'), 'reached')
  })

  it('that nobody knows is said, with what to do', async () => {
    const { message, hint } = await failure('dns', [V4], '/ip4/127.0.0.1', 'nobody.test')
    assert.match(message, /ENOTFOUND nobody\.test$/)
    assert.match(hint ?? '', /is the name right/)
  })
})

describe('a name that a stranger gave', () => {
  const stacks = new OtherStacks()

  afterEach(async () => stacks.stop())

  /** What a dial for a stranger came to, of a node that is in no private network. `spare` dials are left beside the first. */
  async function dialFor(
    address: (port: string) => string,
    {
      known = [] as LookupAddress[],
      records = {} as Record<string, string[]>,
      listen = '/ip4/127.0.0.1/tcp/0',
      over = undefined as NamedOver | undefined,
      spare = 0,
    },
  ): Promise<{ failure: string; spent: number }> {
    const other = await stacks.start({ addresses: { listen: [listen] } })
    const port = String(stacks.addressOf(other).getComponents()[1]?.value)
    const policy = new DialPolicy({ networkInterfaces: () => ({}) })
    const peer = `/p2p/${other.peerId.toString()}`
    const texts = Object.fromEntries(
      Object.entries(records).map(([name, answers]) => [name, answers.map((text) => text.replace('PORT', port) + peer)]),
    )
    const { dial } = (await stacks.ours({ lookup: resolverOf(known), policy, dns: textsOf(texts) })).services
    const target = multiaddr(address(port) + peer)
    policy.note([target], over ?? 'stranger')
    let spent = 0
    const more = (): boolean => spent < spare && ++spent > 0
    const failure = await new Dialler(dial).dial([target], undefined, { trusted: false, more }).then(() => 'none', String)
    return { failure, spent }
  }

  /** Knows these `_dnsaddr` texts and no others. */
  function textsOf(texts: Record<string, string[]>): DNS {
    return dns({
      resolvers: {
        '.': async (name) => ({
          Status: 0,
          TC: false,
          RD: false,
          RA: false,
          AD: false,
          CD: false,
          Question: [],
          Answer: (texts[name.replace(/^_dnsaddr\./, '')] ?? []).map((text) => ({
            name,
            type: RecordType.TXT,
            TTL: 60,
            data: `dnsaddr=${text}`,
          })),
        }),
      },
    })
  }

  for (const address of ['127.0.0.1', '10.0.0.1', '169.254.169.254', '0.0.0.0', '224.0.0.1']) {
    it(`is not dialled where it leads to ${address}`, async () => {
      const { failure } = await dialFor((port) => `/dns4/peer.test/tcp/${port}`, { known: [{ address, family: 4 }] })
      assert.match(failure, new RegExp(`peer\\.test has a refused address: ${address.replaceAll('.', '\\.')} (is|,)`))
    })
  }

  it('is not dialled where it is an IP address of this machine, with a zone', async () => {
    const { failure } = await dialFor((port) => `/dns6/::1%a-b/tcp/${port}`, {})
    assert.match(failure, /::1%a-b is an address of this machine/)
  })

  it('is dialled where it leads to this machine and was given on this machine', async () => {
    assert.equal((await dialFor((port) => `/dns4/peer.test/tcp/${port}`, { known: [V4], over: 'loopback' })).failure, 'none')
  })

  it('leads only to those of its addresses that are allowed', async () => {
    const known = [{ address: '169.254.1.1', family: 4 }, { address: '0.0.0.0', family: 4 }, V4]
    assert.equal((await dialFor((port) => `/dns4/peer.test/tcp/${port}`, { known, over: 'loopback', spare: 3 })).failure, 'none')
  })

  it('counts a dial for each of its addresses, and four at most', async () => {
    const known = Array.from({ length: 50 }, (_, index) => ({ address: `127.1.0.${index + 1}`, family: 4 }))
    const sockets = new SocketLog()
    try {
      const dials = await dialFor(() => '/dns/peer.test/tcp/1', { known, over: 'loopback', spare: 100 })
      assert.match(dials.failure, /ECONNREFUSED/)
      assert.equal(dials.spent, 3)
      assert.equal((await dialFor(() => '/dns/peer.test/tcp/1', { known, over: 'loopback' })).spent, 0)
    } finally {
      sockets.stop()
    }
    assert.deepEqual(sockets.tried, ['127.1.0.1', '127.1.0.2', '127.1.0.3', '127.1.0.4', '127.1.0.1'])
  })

  it('is judged where it is a /dnsaddr, by each address behind it', async () => {
    const records = { 'peer.test': ['/ip4/127.0.0.1/tcp/PORT'] }
    assert.match((await dialFor(() => '/dnsaddr/peer.test', { records })).failure, /127\.0\.0\.1 is an address of this machine/)
  })

  it('is given by its user where the user gave it, whatever it leads to', async () => {
    const other = await stacks.start()
    const records = { 'peer.test': ['/dnsaddr/inner.test'], 'inner.test': [stacks.addressOf(other).decapsulate('/p2p').toString()] }
    const peer = `/p2p/${other.peerId.toString()}`
    const texts = textsOf(Object.fromEntries(Object.entries(records).map(([name, answers]) => [name, answers.map((text) => text + peer)])))
    const { dial } = (await stacks.ours({ policy: new DialPolicy({ networkInterfaces: () => ({}) }), dns: texts })).services
    const connection = await new Dialler(dial).dial([multiaddr(`/dnsaddr/peer.test${peer}`)])
    assert.ok(connection.remotePeer.equals(other.peerId))
  })

  it('leads nowhere where /dnsaddr leads in a circle', async () => {
    const records = { 'peer.test': ['/dnsaddr/peer.test'] }
    assert.match(
      (await dialFor(() => '/dnsaddr/peer.test', { records, spare: 100 })).failure,
      /no transport of this node dials this address/,
    )
  })

  it('is no name of a host where it is a /dnsaddr that ends in a port', async () => {
    const sockets = new SocketLog()
    const records = { 'peer.test': ['/dnsaddr/peer.test/tcp/PORT'] }
    const { failure } = await dialFor(() => '/dnsaddr/peer.test', { records, spare: 100 }).finally(() => sockets.stop())
    assert.match(failure, /no transport of this node dials this address/)
    assert.deepEqual(sockets.ports, [])
  })
})
