import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { multiaddr } from '@multiformats/multiaddr'
import { DialError } from '../../../src/node/dial-failure.ts'
import { Dialler } from '../../../src/node/dialler.ts'
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
