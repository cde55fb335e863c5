import assert from 'node:assert/strict'
import { connect, createServer } from 'node:net'
import type { Connection, PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { isAside } from '../../../src/node/dial/aside.ts'
import { PunchPorts, type PunchPortsInit } from '../../../src/node/direct/punch-ports.ts'
import { kindOf } from '../../../src/primitives/address-kind.ts'
import { strangerId } from '../../support/keys.ts'

describe('a port for hole punching', () => {
  const relay = peerIdFromString(strangerId().peerId)
  const at = (place: string): Multiaddr => multiaddr(`${place}/p2p/${relay.toString()}`)
  const relayed = { remoteAddr: at('/ip4/45.79.0.9/tcp/1').encapsulate('/p2p-circuit') } as Connection
  let events: EventTarget
  let connections: Connection[]
  let stored: Multiaddr[]
  let dialled: Array<{ address: string; localPort: number }>
  let letGo: Connection[]
  /** What the relay says of the address that it sees. */
  let observe: (localPort: number) => string | undefined
  let ports: PunchPorts

  beforeEach(() => {
    events = new EventTarget()
    ;[connections, stored, dialled, letGo] = [[open('/ip4/45.79.0.9/tcp/1')], [], [], []]
    observe = (localPort) => `/ip4/45.79.0.1/tcp/${localPort}`
    const dial = async (address: Multiaddr, options: object): Promise<Connection> => {
      const { localPort } = options as { localPort: number }
      dialled.push({ address: address.toString(), localPort })
      const connection = { remoteAddr: address } as Connection
      setImmediate(() => {
        const seen = observe(localPort)
        const detail = { connection, observedAddr: seen == null ? undefined : multiaddr(seen) }
        events.dispatchEvent(new CustomEvent('peer:identify', { detail }))
      })
      return connection
    }
    ports = new PunchPorts({
      libp2p: {
        getConnections: () => connections,
        addEventListener: events.addEventListener.bind(events),
        removeEventListener: events.removeEventListener.bind(events),
        peerStore: { get: async (_: PeerId) => ({ addresses: stored.map((each) => ({ multiaddr: each, isCertified: false })) }) },
      } as unknown as PunchPortsInit['libp2p'],
      transports: { dial } as PunchPortsInit['transports'],
      isOutside: (address) => kindOf(address) === 'public',
      letGo: (connection) => letGo.push(connection),
    })
  })

  function open(place: string, direction: 'inbound' | 'outbound' = 'outbound'): Connection {
    return { remotePeer: relay, remoteAddr: at(place), direction, status: 'open' } as Connection
  }

  async function opened(): ReturnType<PunchPorts['open']> {
    return ports.open(relayed, AbortSignal.timeout(5_000))
  }

  it('is one on which nobody listens: a second connection to the relay leaves from there, and the relay says at which address', async () => {
    const { localPort, mapped, isKept, release } = await opened()
    assert.deepEqual(dialled, [{ address: at('/ip4/45.79.0.9/tcp/1').toString(), localPort }])
    assert.deepEqual([mapped.toString(), isKept], [`/ip4/45.79.0.1/tcp/${localPort}`, true])
    const refused = Promise.withResolvers<Error>()
    connect(localPort, '127.0.0.1').on('error', refused.resolve)
    assert.match(String(await refused.promise), /ECONNREFUSED/)
    assert.deepEqual(letGo, [])
    release()
    assert.deepEqual(letGo.map(isAside), [true])
  })

  it('is told to be none that the router keeps, where it chooses another', async () => {
    observe = () => '/ip4/45.79.0.1/tcp/1'
    assert.equal((await opened()).isKept, false)
  })

  it('is another one each time, and none that is in use', async () => {
    const server = createServer().listen(0)
    const { port } = server.address() as { port: number }
    const [one, two] = [await opened(), await opened()]
    assert.equal(new Set([one.localPort, two.localPort, port]).size, 3)
    server.close()
  })

  it('is opened over an address of TCP that the relay told, where the connection to it is another', async () => {
    connections = [open('/ip4/45.79.0.9/udp/1/quic-v1'), open('/ip4/45.79.0.9/tcp/5', 'inbound')]
    stored = [multiaddr('/ip4/45.79.0.9/udp/1/quic-v1'), multiaddr('/ip4/10.0.0.1/tcp/2'), multiaddr('/ip4/45.79.0.9/tcp/2')]
    await opened()
    assert.deepEqual(
      dialled.map(({ address }) => address),
      [at('/ip4/45.79.0.9/tcp/2').toString()],
    )
    stored = []
    await assert.rejects(opened(), /knows no TCP address of the relay/)
  })

  it('is none where the relay sees this node at an address that is of no use outside, or tells none', async () => {
    observe = () => '/ip4/10.0.0.1/tcp/1'
    await assert.rejects(opened(), /the relay sees this node at \/ip4\/10\.0\.0\.1\/tcp\/1/)
    observe = () => undefined
    await assert.rejects(opened(), /the relay sees this node at no address/)
    assert.equal(letGo.length, 2)
  })
})
