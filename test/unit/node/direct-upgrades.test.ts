import assert from 'node:assert/strict'
import type { Connection, PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import { DirectUpgrades, type DirectUpgradesInit, type UpgradeOutcome } from '../../../src/node/direct/direct-upgrades.ts'
import { HOLE_PUNCH_PROTOCOL_ID } from '../../../src/node/direct/hole-punch-stream.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { withPeerId } from '../../../src/primitives/address.ts'
import { strangerId } from '../../support/keys.ts'

const RELAY = '/ip4/45.79.0.9/tcp/1/p2p-circuit'
const PUBLIC = '/ip4/45.79.0.1/tcp/4001'

const stranger = (): PeerId => peerIdFromString(strangerId().peerId)

describe('a node that was called over a relay', () => {
  let events: EventTarget
  let nowMs: number
  /** What is dialled, and ends it. */
  let dials: Array<{ addresses: string[]; end: PromiseWithResolvers<Connection> }>
  let outcomes: UpgradeOutcome[]
  let direct: Connection[]
  let punched: Connection[]
  let admitted: boolean
  let upgrades: DirectUpgrades

  beforeEach(() => {
    events = new EventTarget()
    nowMs = 0
    ;[dials, outcomes, direct, punched, admitted] = [[], [], [], [], true]
    upgrades = new DirectUpgrades({
      libp2p: events as unknown as DirectUpgradesInit['libp2p'],
      dialler: {
        connectionsTo: () => direct,
        isDialable: (address) => !address.toString().includes('/udp/'),
        dial: async (addresses, signal) => {
          const end = Promise.withResolvers<Connection>()
          signal?.addEventListener('abort', () => end.reject(signal.reason))
          dials.push({ addresses: addresses.map(String), end })
          return end.promise
        },
      },
      puncher: {
        punch: async (connection) => {
          punched.push(connection)
          return { remoteAddr: multiaddr(PUBLIC) } as Connection
        },
      },
      policy: new DialPolicy({ networkInterfaces: () => ({}) }),
      admits: async () => admitted,
      onUpgrade: (outcome) => outcomes.push(outcome),
      log: createLogger('silent', () => undefined),
      now: () => nowMs,
    })
    upgrades.start()
  })

  afterEach(() => upgrades.stop())

  async function turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** A caller tells its addresses. */
  async function identify(
    peer: PeerId,
    addresses: string[],
    connection: Partial<Connection> = {},
    protocols: string[] = [],
  ): Promise<void> {
    const relayed = { remotePeer: peer, remoteAddr: multiaddr(RELAY), direction: 'inbound', ...connection }
    const detail = { connection: relayed, listenAddrs: addresses.map((address) => multiaddr(address)), protocols }
    events.dispatchEvent(new CustomEvent('peer:identify', { detail }))
    await turn()
  }

  function at(peer: PeerId, ...addresses: string[]): string[] {
    return addresses.map((address) => (withPeerId(multiaddr(address), peer) as Multiaddr).toString())
  }

  it('dials four of the addresses of its caller that a stranger may name, once each', async () => {
    const peer = stranger()
    const many = [2, 3, 4, 5].map((n) => `/ip4/45.79.0.${n}/tcp/1`)
    const refused = [
      '/ip4/127.0.0.1/tcp/1',
      '/ip4/10.0.0.1/tcp/1',
      '/ip4/45.79.0.1/udp/1/quic-v1',
      `${PUBLIC}/p2p/${stranger()}/p2p-circuit`,
    ]
    await identify(peer, [...refused, PUBLIC, PUBLIC, ...many])
    assert.deepEqual(
      dials.map(({ addresses }) => addresses),
      [at(peer, PUBLIC, ...many.slice(0, 3))],
    )
    dials[0]?.end.resolve({ remoteAddr: multiaddr(PUBLIC) } as Connection)
    await turn()
    assert.deepEqual(outcomes, [{ way: 'reversal', outcome: 'connected' }])
  })

  it('dials nobody where it called itself, where the connection is direct, or where there is a direct one already', async () => {
    await identify(stranger(), [PUBLIC], { direction: 'outbound' })
    await identify(stranger(), [PUBLIC], { remoteAddr: multiaddr(PUBLIC) })
    direct = [{ remoteAddr: multiaddr(PUBLIC) } as Connection]
    await identify(stranger(), [PUBLIC])
    assert.deepEqual(dials, [])
  })

  it('dials nobody that is not admitted', async () => {
    admitted = false
    await identify(stranger(), [PUBLIC])
    assert.deepEqual(dials, [])
  })

  it('dials one peer once at a time, and four times a minute at most', async () => {
    const peer = stranger()
    await identify(peer, [PUBLIC])
    await identify(peer, [PUBLIC])
    assert.equal(dials.length, 1)
    for (let count = 1; count <= 6; count++) {
      dials.at(-1)?.end.reject(new Error('nobody there'))
      await turn()
      await identify(peer, [PUBLIC])
    }
    assert.equal(dials.length, 4)
    assert.deepEqual(outcomes.at(-1), { way: 'reversal', outcome: 'failed' })
    nowMs += 60_000
    await identify(peer, [PUBLIC])
    assert.equal(dials.length, 5)
  })

  it('dials eight peers at a time', async () => {
    for (let count = 0; count < 20; count++) {
      await identify(stranger(), [PUBLIC])
    }
    assert.equal(dials.length, 8)
  })

  it('dials 32 at once, however many peers call, and then one in two seconds', async () => {
    for (let count = 0; count < 40; count++) {
      await identify(stranger(), [PUBLIC])
      dials.at(-1)?.end.reject(new Error('nobody there'))
      await turn()
    }
    assert.equal(dials.length, 32)
    nowMs += 2_000
    await identify(stranger(), [PUBLIC])
    assert.equal(dials.length, 33)
  })

  it('punches a hole where the caller has no address that can be dialled, if the caller can do that', async () => {
    const inside = ['/ip4/10.0.0.1/tcp/1']
    await identify(stranger(), inside)
    assert.deepEqual([punched.length, dials.length], [0, 0])
    await identify(stranger(), inside, {}, [HOLE_PUNCH_PROTOCOL_ID])
    assert.deepEqual([punched.length, dials.length], [1, 0])
    assert.deepEqual(outcomes, [{ way: 'hole punching', outcome: 'connected' }])
  })

  it('punches a hole once its dial has failed, and not before', async () => {
    await identify(stranger(), [PUBLIC], {}, [HOLE_PUNCH_PROTOCOL_ID])
    assert.equal(punched.length, 0)
    dials[0]?.end.reject(new Error('nobody there'))
    await turn()
    assert.equal(punched.length, 1)
    await identify(stranger(), [PUBLIC], {}, [HOLE_PUNCH_PROTOCOL_ID])
    dials[1]?.end.resolve({ remoteAddr: multiaddr(PUBLIC) } as Connection)
    await turn()
    assert.equal(punched.length, 1)
  })

  it('punches a hole where the caller tells that it can only while it is dialled', async () => {
    const peer = stranger()
    await identify(peer, [PUBLIC])
    await identify(peer, [PUBLIC], {}, [HOLE_PUNCH_PROTOCOL_ID])
    dials[0]?.end.reject(new Error('nobody there'))
    await turn()
    assert.equal(punched.length, 1)
  })

  it('ends its dials when it stops', async () => {
    await identify(stranger(), [PUBLIC])
    upgrades.stop()
    await turn()
    assert.deepEqual(outcomes, [{ way: 'reversal', outcome: 'failed' }])
  })
})
