import assert from 'node:assert/strict'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { type Connection, type PeerId, type Stream, type StreamHandler, StreamMessageEvent } from '@libp2p/interface'
import type { KadDHT, KadDHTComponents } from '@libp2p/kad-dht'
import { defaultLogger } from '@libp2p/logger'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { boundedDht } from '../../../src/node/adapters/bounded-dht.ts'
import { type DialBudget, UNBOUNDED } from '../../../src/node/dial/dial-budget.ts'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import { newPeer } from '../../support/keys.ts'

/** An answer, or a request, that names a peer at these addresses. */
function naming(peer: PeerId, addresses: string[], field = 8): Uint8Array {
  const named = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(peer.toMultihash().bytes)
  for (const address of addresses) {
    named.tag(2, WireType.LengthDelimited).bytes(multiaddr(address).bytes)
  }
  const message = new BinaryWriter().tag(1, WireType.Varint).int32(4).tag(field, WireType.LengthDelimited).bytes(named.finish())
  return new BinaryWriter().bytes(message.finish()).finish()
}

/** What the DHT has of a node that is connected to some peers. All that it dials fails. */
class FakeNode {
  readonly dialled: string[] = []
  readonly #streams = new Map<string, EventTarget>()
  #handler: StreamHandler | undefined
  readonly components: KadDHTComponents

  constructor(background: DialBudget = UNBOUNDED) {
    let given: KadDHTComponents | undefined
    const make = (components: KadDHTComponents): KadDHT => {
      given = components
      return {} as KadDHT
    }
    const fakes = {
      logger: defaultLogger(),
      peerStore: { get: async () => Promise.reject(new Error('not known')) },
      ping: { ping: async () => 1 },
      registrar: { handle: async (_: string, handler: StreamHandler) => (this.#handler = handler) },
      connectionManager: {
        getConnections: (peer: PeerId) => (this.#streams.has(peer.toString()) ? [this.connectionTo(peer)] : []),
        openStream: () => undefined,
        isDialable: () => undefined,
      },
      transportManager: {
        dialTransportForMultiaddr: () => ({}),
        dial: async (address: Multiaddr) => {
          this.dialled.push(address.decapsulate('/p2p').toString())
          throw new Error('nobody there')
        },
      },
    }
    boundedDht(make, { policy: new DialPolicy({ networkInterfaces: () => ({}) }), background })(fakes as unknown as KadDHTComponents)
    this.components = given as KadDHTComponents
  }

  connectionTo(peer: PeerId): Connection {
    const newStream = async (): Promise<EventTarget | undefined> => this.#streams.get(peer.toString())
    return { remotePeer: peer, remoteAddr: multiaddr('/ip4/45.79.0.9/tcp/1'), status: 'open', newStream } as unknown as Connection
  }

  /** A connected peer answers. */
  async answer(from: PeerId, bytes: Uint8Array): Promise<void> {
    this.#streams.set(from.toString(), new EventTarget())
    const stream = await this.components.connectionManager.openStream(from, '/kad')
    stream.addEventListener('message', () => undefined)
    stream.dispatchEvent(new StreamMessageEvent(bytes))
  }

  /** A connected peer asks; gives what comes through of that. */
  async ask(from: PeerId, bytes: Uint8Array): Promise<number> {
    const stream = new EventTarget() as unknown as Stream
    let received = 0
    await this.components.registrar.handle('/kad', (filtered) =>
      filtered.addEventListener('message', ({ data }) => {
        received = data.byteLength
      }),
    )
    await this.#handler?.(stream, this.connectionTo(from))
    stream.dispatchEvent(new StreamMessageEvent(bytes))
    return received
  }

  async dial(peer: PeerId): Promise<string[]> {
    this.dialled.length = 0
    await assert.rejects(this.components.connectionManager.openStream(peer, '/kad'))
    return [...this.dialled].sort()
  }
}

describe('a peer that the DHT names', () => {
  const TRUE = ['/ip4/45.79.0.1/tcp/1', '/ip4/45.79.0.2/tcp/1']
  const FALSE = ['/ip4/45.79.1.1/tcp/1', '/ip4/45.79.1.2/tcp/1']
  let peer: PeerId
  let honest: PeerId
  let liar: PeerId

  before(async () => {
    ;[peer, honest, liar] = (await Promise.all([newPeer(), newPeer(), newPeer()])).map(({ peerId }) => peerId) as [PeerId, PeerId, PeerId]
  })

  it('is dialled at an address of each who named it, whoever did so last or most', async () => {
    const node = new FakeNode()
    await node.answer(honest, naming(peer, TRUE))
    await node.answer(liar, naming(peer, FALSE))
    await node.answer(liar, naming(peer, FALSE.toReversed()))
    assert.deepEqual(await node.dial(peer), ['/ip4/45.79.0.1/tcp/1', '/ip4/45.79.1.2/tcp/1'])
  })

  it('is dialled at two addresses of the only one who named it', async () => {
    const node = new FakeNode()
    await node.answer(honest, naming(peer, TRUE))
    assert.deepEqual(await node.dial(peer), TRUE)
  })

  it('is dialled at what is said of it after those addresses failed', async () => {
    const node = new FakeNode()
    await node.answer(liar, naming(peer, FALSE))
    await node.dial(peer)
    await node.answer(honest, naming(peer, TRUE))
    assert.deepEqual(await node.dial(peer), TRUE)
  })

  it('takes a dial once where the DHT asks it and pings it at the same time', async () => {
    let dials = 0
    const node = new FakeNode({ take: () => ++dials > 0, named: () => undefined })
    await node.answer(honest, naming(peer, TRUE))
    await Promise.all([node.dial(peer), assert.rejects(node.components.ping.ping(peer))])
    assert.equal(dials, 2)
  })

  it('is not named by who asks', async () => {
    const node = new FakeNode()
    const nothing = naming(peer, []).byteLength
    for (const field of [8, 9]) {
      assert.ok((await node.ask(liar, naming(peer, FALSE, field))) < nothing)
      assert.ok((await node.ask(liar, naming(liar, FALSE, field))) > nothing)
    }
    assert.deepEqual(await node.dial(peer), [])
  })
})
