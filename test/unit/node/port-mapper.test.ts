import assert from 'node:assert/strict'
import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { type Gateway, GatewayError, type Lease, type MappedPort, type Place } from '../../../src/node/port-mapping/gateway.ts'
import { PortMapper } from '../../../src/node/port-mapping/port-mapper.ts'
import { createLogger } from '../../../src/observe/logger.ts'

const MINUTE = 60_000
const INSIDE = '/ip4/10.0.0.2/tcp/4001'
const HOME: Place = { router: '10.0.0.1', localAddress: '10.0.0.2' }

/** A router that gives what it is told to give. */
class Router implements Gateway {
  readonly protocol = 'UPnP'
  readonly mapped: MappedPort[] = []
  readonly unmapped: MappedPort[] = []
  address = '45.79.0.1'
  lease: Partial<Lease> = {}
  problem: Error | undefined
  /** Answers no more, whatever the signal says. */
  isSilent = false

  async externalAddress(): Promise<string> {
    await this.#answer()
    return this.address
  }

  async map(port: MappedPort, leaseMs: number): Promise<Lease> {
    this.mapped.push(port)
    await this.#answer()
    return { externalPort: port.externalPort, leaseMs, ...this.lease }
  }

  async unmap(port: MappedPort, signal: AbortSignal): Promise<void> {
    this.unmapped.push(port)
    await (this.isSilent ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))) : undefined)
  }

  async #answer(): Promise<void> {
    if (this.problem != null) {
      throw this.problem
    }
  }
}

describe('a port that a router maps', () => {
  let router: Router
  let place: Place | undefined
  let listening: string[]
  let mapper: PortMapper
  let searches: number
  let gone: string[]
  let changes: number
  let lines: string[]

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] })
    router = new Router()
    place = HOME
    listening = ['/ip4/127.0.0.1/tcp/4001', INSIDE]
    gone = []
    lines = []
    searches = 0
    changes = 0
    mapper = new PortMapper({
      listening: () => listening.map((text) => multiaddr(text)),
      place: async () => place,
      ways: [
        async () => {
          searches++
          throw new GatewayError('NO_ANSWER', 'the router does not answer NAT-PMP')
        },
        async () => router,
      ],
      onChange: (addresses: Multiaddr[]) => {
        changes++
        gone.push(...addresses.map(String))
      },
      log: createLogger('debug', (line) => lines.push(line)),
    })
  })

  afterEach(async () => {
    mock.timers.reset()
    await mapper.stop()
  })

  /** Until all that can go on without time has gone on. */
  async function settle(): Promise<void> {
    for (let turns = 0; turns < 20; turns++) {
      await turn()
    }
  }

  async function started(): Promise<void> {
    mapper.start()
    await settle()
  }

  async function later(ms: number): Promise<void> {
    mock.timers.tick(ms)
    await settle()
  }

  function mapped(): string[] {
    return mapper.state.mappings.map(({ multiaddr }) => multiaddr.toString())
  }

  it('is an address of the router, of the way that it answered, with the end of its lease', async () => {
    await started()
    const [mapping] = mapper.state.mappings
    assert.deepEqual(
      [mapper.state.status, mapper.state.router, mapper.state.protocol, String(mapping?.multiaddr), String(mapping?.internal)],
      ['mapped', '10.0.0.1', 'UPnP', '/ip4/45.79.0.1/tcp/4001', INSIDE],
    )
    assert.equal(mapping?.untilMs, Date.now() + 30 * MINUTE)
    assert.equal(changes, 1)
    assert.match(lines.join(''), /is asked for a port\n.*NAT-PMP\n.*the router forwards a port\n/)
  })

  it('may have another number outside than inside', async () => {
    router.lease = { externalPort: 50_000 }
    await started()
    assert.deepEqual(mapped(), ['/ip4/45.79.0.1/tcp/50000'])
    await later(15 * MINUTE)
    assert.deepEqual(
      router.mapped.map(({ externalPort }) => externalPort),
      [4001, 50_000],
    )
  })

  it('keeps what stands behind the port in its address, and is asked for in UDP too', async () => {
    listening = ['/ip4/10.0.0.2/tcp/4001/ws', '/ip4/10.0.0.2/udp/4001/quic-v1']
    await started()
    assert.deepEqual(mapped(), ['/ip4/45.79.0.1/tcp/4001/ws', '/ip4/45.79.0.1/udp/4001/quic-v1'])
  })

  it('is renewed after half of its lease, that of the router where it is shorter', async () => {
    await started()
    await later(15 * MINUTE - 1)
    assert.equal(router.mapped.length, 1)
    router.lease = { leaseMs: 4 * MINUTE }
    await later(1)
    assert.equal(router.mapped.length, 2)
    await later(2 * MINUTE)
    assert.equal(router.mapped.length, 3)
    assert.equal(changes, 1)
  })

  it('is renewed before its end where a renewal had no answer, and lasts until then', async () => {
    await started()
    router.problem = new GatewayError('NO_ANSWER', 'the router does not answer UPnP')
    await later(15 * MINUTE)
    assert.deepEqual([mapper.state.status, mapped().length], ['mapped', 1])
    router.problem = undefined
    await later(30_000)
    assert.equal(mapper.state.mappings[0]?.untilMs, Date.now() + 30 * MINUTE)
    assert.deepEqual([gone, changes, searches], [[], 1, 2])
  })

  it('is gone with the end of its lease', async () => {
    await started()
    router.problem = new GatewayError('NO_ANSWER', 'the router does not answer UPnP')
    for (let minutes = 0; minutes < 30; minutes++) {
      await later(MINUTE)
    }
    assert.deepEqual([mapper.state.status, mapped(), gone], ['unmapped', [], ['/ip4/45.79.0.1/tcp/4001']])
  })

  it('is gone where the router refuses to renew it, and another where its external address is another', async () => {
    await started()
    router.address = '45.79.0.9'
    await later(15 * MINUTE)
    assert.deepEqual([mapped(), gone], [['/ip4/45.79.0.9/tcp/4001'], ['/ip4/45.79.0.1/tcp/4001']])
    router.problem = new GatewayError('REFUSED', 'the router says no')
    await later(15 * MINUTE)
    assert.deepEqual([mapper.state.status, mapper.state.detail, mapped()], ['unmapped', 'the router says no', []])
  })

  it('is none where the external address is not public: another router is before it', async () => {
    for (const address of ['192.168.1.2', '100.64.0.1', '127.0.0.1', '169.254.169.254', '0.0.0.0', '224.0.0.1', 'x']) {
      router = new Router()
      router.address = address
      place = { ...HOME, router: `10.0.0.${searches + 1}` }
      mapper.look()
      await started()
      assert.deepEqual([mapper.state.status, router.mapped.length], ['unmapped', 0], address)
      assert.match(mapper.state.detail, /not public/)
    }
  })

  it('is none where the port is none, or is given for less than 2 minutes', async () => {
    router.lease = { externalPort: 0 }
    await started()
    assert.match(mapper.state.detail, /an invalid port/)
    router.lease = { leaseMs: 1_000 }
    await later(5 * MINUTE)
    assert.match(mapper.state.detail, /for only 1 s/)
    assert.deepEqual([mapper.state.status, mapped()], ['unmapped', []])
  })

  it('that the router refused is asked for again after 5 minutes, then after twice as long each time, up to an hour', async () => {
    router.problem = new GatewayError('REFUSED', 'the router says no')
    await started()
    const pauses = [5, 10, 20, 40, 60, 60]
    for (const [index, minutes] of pauses.entries()) {
      await later(minutes * MINUTE - 1)
      assert.equal(searches, index + 1)
      await later(1)
      assert.equal(searches, index + 2)
    }
  })

  for (const [what, addresses] of Object.entries({
    'loopback alone': ['/ip4/127.0.0.1/tcp/4001'],
    'a public address': [INSIDE, '/ip4/45.79.0.5/tcp/4001'],
    'IPv6 alone': ['/ip6/fd00::1/tcp/4001', '/ip6/2600::1/tcp/4001'],
    'another network than the router': ['/ip4/192.168.1.2/tcp/4001'],
    nothing: [],
  })) {
    it(`is not asked for by a node that listens on ${what}`, async () => {
      listening = addresses
      await started()
      assert.deepEqual([mapper.state.status, searches], ['unneeded', 0])
    })
  }

  it('is not asked for without a router, and is once there is one', async () => {
    place = undefined
    await started()
    assert.deepEqual([mapper.state.status, searches], ['unneeded', 0])
    place = HOME
    mapper.look()
    await settle()
    assert.deepEqual([mapper.state.status, mapped().length], ['mapped', 1])
  })

  it('has no part of an address over a relay', async () => {
    listening = [INSIDE, '/ip4/45.79.0.5/tcp/4001/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb/p2p-circuit']
    await started()
    assert.deepEqual(mapped(), ['/ip4/45.79.0.1/tcp/4001'])
  })

  it('is asked for again where the network is another, and not where it is the same', async () => {
    await started()
    mapper.look()
    await settle()
    assert.equal(router.mapped.length, 1)
    place = { router: '192.168.1.1', localAddress: '192.168.1.2' }
    listening = ['/ip4/192.168.1.2/tcp/4001']
    router.address = '45.79.0.7'
    mapper.look()
    await settle()
    assert.deepEqual([mapped(), gone], [['/ip4/45.79.0.7/tcp/4001'], ['/ip4/45.79.0.1/tcp/4001']])
  })

  it('is given back at the stop', async () => {
    router.lease = { externalPort: 50_000 }
    await started()
    await mapper.stop()
    assert.deepEqual(router.unmapped, [{ transport: 'tcp', internalPort: 4001, externalPort: 50_000 }])
  })

  it('is given back at the stop too where its answer was lost', async () => {
    router.problem = new GatewayError('NO_ANSWER', 'the router does not answer UPnP')
    router.externalAddress = async () => '45.79.0.1'
    await started()
    assert.equal(router.mapped.length, 1)
    await mapper.stop()
    assert.equal(router.unmapped.length, 1)
  })

  it('does not hold the stop up for more than a second', async () => {
    await started()
    router.isSilent = true
    let stopped = false
    const stopping = mapper.stop().then(() => {
      stopped = true
    })
    await settle()
    await later(999)
    assert.equal(stopped, false)
    await later(1)
    assert.equal(stopped, true)
    await stopping
    assert.match(lines.join(''), /did not remove the port mapping/)
  })
})
