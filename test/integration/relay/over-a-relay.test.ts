import assert from 'node:assert/strict'
import type { LookupFunction } from 'node:net'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import { DialError } from '../../../src/node/dial/dial-failure.ts'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import { Dialler } from '../../../src/node/dial/dialler.ts'
import type { Services } from '../../../src/node/stack/create-libp2p.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { strangerId } from '../../support/keys.ts'
import { Lab } from '../../support/nodes.ts'
import { OtherStacks } from '../../support/other-stacks.ts'
import { eventually } from '../../support/protocol-host.ts'

describe('a peer behind a relay of another implementation', function () {
  this.timeout(30_000)
  const stacks = new OtherStacks()
  const lab = new Lab()
  let relay: Awaited<ReturnType<OtherStacks['start']>>
  let hidden: Libp2p<Services>
  let caller: SubnetNode

  before(async () => {
    relay = await stacks.start({
      services: { identify: identify(), relay: circuitRelayServer({ reservations: { defaultDurationLimit: 600_000 } }) },
    })
    hidden = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'] })
    caller = await lab.idle()
    await caller.start()
    await new Dialler(hidden.services.dial).dial([stacks.addressOf(relay)])
    await hidden.services.relays.reserve(relay.peerId)
  })

  after(async () => {
    await lab.clean()
    await stacks.stop()
  })

  function over(peer: string): Multiaddr {
    return multiaddr(`${stacks.addressOf(relay).toString()}/p2p-circuit/p2p/${peer}`)
  }

  it('tells its address over the relay beside its own', async () => {
    await eventually(() => hidden.getMultiaddrs().length === 2, 'it tells two addresses')
    assert.deepEqual(
      hidden
        .getMultiaddrs()
        .map(String)
        .filter((address) => address.includes('p2p-circuit')),
      [over(hidden.peerId.toString()).toString()],
    )
  })

  it('answers a ping over the relay', async () => {
    const { reached } = await caller.ping(over(hidden.peerId.toString()))
    assert.equal(reached.connection.remoteAddr.toString(), over(hidden.peerId.toString()).toString())
    assert.notEqual(reached.connection.limits, undefined)
  })

  it('says what the relay answered where the peer has no place there', async () => {
    const error = await caller.ping(over(strangerId().peerId)).catch((cause: unknown) => cause)
    assert.ok(error instanceof ProtocolError)
    assert.equal(error.code, 'UNREACHABLE')
    assert.match(error.message, /p2p-circuit.*the relay answered NO_RESERVATION: the peer has no reservation/)
    assert.match(error.hint ?? '', /a relay forwards connections/)
  })

  it('says that the relay is none', async () => {
    const plain = await stacks.start()
    const error = await caller
      .ping(multiaddr(`${stacks.addressOf(plain).toString()}/p2p-circuit/p2p/${strangerId().peerId}`))
      .catch((cause: unknown) => cause)
    assert.match(String(error), /the peer is not a relay/)
  })

  it('says why the relay itself was not reached', async () => {
    const dialler = new Dialler((await stacks.ours()).services.dial)
    const error = await dialler
      .dial([multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${relay.peerId.toString()}/p2p-circuit/p2p/${hidden.peerId.toString()}`)])
      .catch((cause: unknown) => cause)
    assert.ok(error instanceof DialError)
    assert.match(error.message, /the relay was not reached: .*ECONNREFUSED/)
  })

  it('does not use a relay over which it was called and that it did not choose', async () => {
    const other = await stacks.start({ services: { identify: identify(), relay: circuitRelayServer() } })
    const victim = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'] })
    await new Dialler(victim.services.dial).dial([stacks.addressOf(other)])
    await victim.services.relays.reserve(other.peerId)
    victim.services.relays.release()
    const error = await caller
      .ping(multiaddr(`${stacks.addressOf(other).toString()}/p2p-circuit/p2p/${victim.peerId.toString()}`))
      .catch((cause: unknown) => cause)
    assert.match(String(error), /the relay answered (CONNECTION_FAILED|NO_RESERVATION)/)
    assert.deepEqual(victim.services.relays.addresses, [])
  })

  it('is dialled for a stranger only over a relay that the policy allows, a name by what it leads to', async () => {
    const lookup: LookupFunction = (_, { all }, callback) => {
      const found = { address: '127.0.0.1', family: 4 }
      all === true ? callback(null, [found]) : callback(null, found.address, found.family)
    }
    const port = stacks.addressOf(relay).getComponents()[1]?.value
    const target = `p2p/${relay.peerId.toString()}/p2p-circuit/p2p/${hidden.peerId.toString()}`
    const outcome = async (host: string, trusted: boolean): Promise<string> => {
      const dialler = new Dialler((await stacks.ours({ lookup, policy: new DialPolicy() })).services.dial)
      const permit = { trusted, more: () => true }
      return dialler.dial([multiaddr(`/${host}/tcp/${port}/${target}`)], undefined, permit).then(() => 'reached', String)
    }
    assert.match(await outcome('ip4/127.0.0.1', false), /127\.0\.0\.1 is an address of this machine, announced by another machine/)
    assert.match(
      await outcome('dns4/relay.test', false),
      /the relay was not reached: .*has a refused address: 127\.0\.0\.1 is an address of this machine/,
    )
    assert.equal(await outcome('dns4/relay.test', true), 'reached')
  })

  it('is dialled directly where that works, however late its address over the relay stands', async () => {
    const dialler = new Dialler((await stacks.ours()).services.dial)
    const direct = stacks.addressOf(hidden)
    const connection = await dialler.dial([over(hidden.peerId.toString()), direct])
    assert.equal(connection.remoteAddr.toString(), direct.toString())
  })

  it('is dialled over the relay as soon as its direct addresses have failed', async () => {
    const dialler = new Dialler((await stacks.ours()).services.dial)
    const dead = multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${hidden.peerId.toString()}`)
    const connection = await dialler.dial([dead, over(hidden.peerId.toString())])
    assert.equal(connection.remoteAddr.toString(), over(hidden.peerId.toString()).toString())
  })

  it('is called over the direct connection where there are both', async () => {
    const dialler = new Dialler((await stacks.ours()).services.dial)
    const direct = await dialler.dial([stacks.addressOf(hidden)])
    const relayed = await dialler.dial([over(hidden.peerId.toString())])
    assert.deepEqual(dialler.connectionsTo(hidden.peerId), [direct, relayed])
  })
})
