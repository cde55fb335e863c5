import assert from 'node:assert/strict'
import type { Connection, PeerId, Stream, StreamHandler } from '@libp2p/interface'
import type { KadDHT, KadDHTComponents } from '@libp2p/kad-dht'
import { defaultLogger } from '@libp2p/logger'
import { multiaddr } from '@multiformats/multiaddr'
import { boundedDht } from '../../../src/node/adapters/bounded-dht.ts'
import { UNBOUNDED } from '../../../src/node/dial/dial-budget.ts'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import { newPeer } from '../../support/keys.ts'

const NEAR = '/ip4/192.168.1.7/tcp/4001'
const HERE = '/ip4/127.0.0.1/tcp/4001'
const PUBLIC = '/ip4/45.79.0.7/tcp/4001'
const NAME = '/dns4/peer.example/tcp/4001'
const STRANGER = '/ip4/45.80.0.1/tcp/1'
const NEIGHBOUR = '/ip4/192.168.1.9/tcp/1'

describe('what the DHT tells of a peer', () => {
  let peer: PeerId
  let asker: PeerId

  before(async () => {
    ;[peer, asker] = (await Promise.all([newPeer(), newPeer()])).map(({ peerId }) => peerId) as [PeerId, PeerId]
  })

  /** The addresses that a handler of the DHT finds of a peer with these addresses, for who asks from there. */
  async function told(from: string, addresses: string[], { isCertified = false, heardOver = NEIGHBOUR } = {}): Promise<string[][]> {
    let serve: StreamHandler | undefined
    const known = addresses.map((address) => ({ isCertified, multiaddr: multiaddr(address) }))
    const fakes = {
      logger: defaultLogger(),
      peerStore: {
        get: async () => ({ id: peer, addresses: known }),
        getInfo: async () => ({ id: peer, multiaddrs: known.map((each) => each.multiaddr) }),
      },
      ping: {},
      connectionManager: {},
      registrar: {
        handle: async (_: string, handler: StreamHandler) => {
          serve = handler
        },
      },
    }
    const policy = new DialPolicy({ networkInterfaces: () => ({}) })
    const over = { remotePeer: peer, remoteAddr: multiaddr(heardOver), status: 'open' } as unknown as Connection
    policy.noteOwnWord({ connection: over, listenAddrs: known.map((each) => each.multiaddr) })
    const found: string[][] = []
    const make = (components: KadDHTComponents): KadDHT => {
      void components.registrar.handle('/kad', async () => {
        await new Promise(setImmediate)
        const { addresses: own } = await components.peerStore.get(peer)
        const { multiaddrs } = await components.peerStore.getInfo(peer)
        found.push(
          own.map((each) => each.multiaddr.toString()),
          multiaddrs.map(String),
        )
      })
      return {} as KadDHT
    }
    boundedDht(make, { policy, background: UNBOUNDED })(fakes as unknown as KadDHTComponents)
    const connection = { remotePeer: asker, remoteAddr: multiaddr(from), status: 'open' } as unknown as Connection
    await serve?.(new EventTarget() as unknown as Stream, connection)
    return found
  }

  it('to others outside is not where it is in a private network, as it said there without a signature', async () => {
    assert.deepEqual(await told(STRANGER, [NEAR, HERE, PUBLIC, NAME]), [
      [PUBLIC, NAME],
      [PUBLIC, NAME],
    ])
  })

  it('to others outside is what the peer signed, wherever it is', async () => {
    assert.deepEqual(await told(STRANGER, [NEAR, PUBLIC], { isCertified: true }), [
      [NEAR, PUBLIC],
      [NEAR, PUBLIC],
    ])
  })

  it('to others of the same network is what it said there', async () => {
    assert.deepEqual((await told(NEIGHBOUR, [NEAR, PUBLIC]))[0], [NEAR, PUBLIC])
  })

  it('to a private network is not what a stranger said without a signature of a private network', async () => {
    assert.deepEqual((await told(NEIGHBOUR, [NEAR, PUBLIC], { heardOver: STRANGER }))[0], [PUBLIC])
  })
})
