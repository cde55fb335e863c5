import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setImmediate as nextLoop } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p, Peer } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { heartbeatTopic } from '../../../src/gossip/heartbeat.ts'
import { createLibp2p, type Services } from '../../../src/node/stack/create-libp2p.ts'
import { somebody } from '../../support/keys.ts'
import { eventually } from '../../support/protocol-host.ts'

type Stack = Libp2p<Services>

/** More than a node remembers. */
const MANY = 1_500
const TOPIC = heartbeatTopic(1)
const SOMEWHERE = multiaddr('/ip4/127.0.0.1/tcp/1')

describe('what a node knows of a peer', () => {
  const stacks: Stack[] = []
  let host: Stack
  let guest: Stack

  /** In a DHT of its own: peers in the routing table of one are forgotten last. */
  async function started(): Promise<Stack> {
    const stack = await createLibp2p({
      privateKey: await generateKeyPair('Ed25519'),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      subnetId: 1,
      kadProtocol: `/test/${randomUUID()}/kad/1.0.0`,
      gossipIpColocationWeight: 0,
      agent: 'test',
    })
    stacks.push(stack)
    await stack.start()
    stack.services.pubsub?.subscribe(TOPIC)
    return stack
  }

  async function meet(): Promise<void> {
    const subscribed = once(host.services.pubsub ?? host, 'subscription-change')
    await Promise.all([once(host, 'peer:identify'), subscribed, guest.dial(host.getMultiaddrs())])
  }

  async function leave(): Promise<void> {
    await Promise.all([once(host, 'peer:disconnect'), guest.hangUp(host.peerId)])
  }

  async function hearOfMany(): Promise<void> {
    for (let heard = 0; heard < MANY; heard++) {
      await host.peerStore.merge(somebody(), { multiaddrs: [SOMEWHERE] })
    }
    await nextLoop()
  }

  async function known(): Promise<Pick<Peer, 'protocols'> & { addresses: string[] }> {
    const { protocols, addresses } = await host.peerStore.get(guest.peerId)
    return { protocols, addresses: addresses.map(({ multiaddr }) => multiaddr.toString()) }
  }

  beforeEach(async () => {
    host = await started()
    guest = await started()
    await meet()
  })

  afterEach(async () => {
    await Promise.all(stacks.splice(0).map(async (stack) => stack.stop()))
  })

  it('stays while the peer is connected, however many others are heard of', async () => {
    const before = await known()
    assert.ok(before.protocols.length > 0 && before.addresses.length > 0)
    await hearOfMany()
    assert.deepEqual(await known(), before)
    assert.ok((await host.peerStore.all()).length < MANY)
  })

  it('is there again when a peer that was forgotten comes back', async () => {
    const before = await known()
    await leave()
    // what identify began to store before the peer left may be stored after many others, and makes it new again
    do {
      await hearOfMany()
    } while (await host.peerStore.has(guest.peerId))
    await meet()
    assert.deepEqual(await known(), before)
  })

  it('is no score in gossip once the peer has left', async () => {
    const { pubsub } = host.services
    const { score } = pubsub as unknown as { score: { score(peer: string): number; scoreCache: Map<string, unknown> } }
    const peer = guest.peerId.toString()
    await guest.services.pubsub?.publish(TOPIC, randomBytes(8))
    await eventually(() => score.score(peer) > 0, 'a good message is to the credit of its sender')
    await leave()
    await eventually(() => !score.scoreCache.has(peer), 'the score is gone')
  })
})
