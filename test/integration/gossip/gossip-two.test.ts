import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { SubscriptionChangeData } from '@libp2p/gossipsub'
import { RPC } from '@libp2p/gossipsub/message'
import type { Libp2p } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { heartbeatTopic } from '../../../src/gossip/heartbeat.ts'
import { TEMPLATE_GOSSIP_PROTOCOL_ID } from '../../../src/node/network/network.ts'
import type { Services } from '../../../src/node/stack/create-libp2p.ts'
import { GossipPeer } from '../../support/gossip-peer.ts'
import { OtherStacks } from '../../support/other-stacks.ts'

const TOPIC = heartbeatTopic(1)
/** From this size on gossipsub says that it does not want a message. */
const WORTH_REFUSING_BYTES = 512
/** RPC.control { extensions = 6 {} observe = 7 { topicID = 1 "t" } }, and what it calls IANNOUNCE and INEED at 9 and 10, as py-libp2p or a draft may send. */
const UNKNOWN_CONTROLS = Buffer.from('1a15' + '3200' + '3a030a0174' + '4a060a01741201ff' + '52040a02ffff', 'hex')
/** RPC.testExtension = 6492434 {} */
const UNKNOWN_EXTENSION = Buffer.from('9291e21800', 'hex')

describe('gossip with a peer of /meshsub/2.0.0', function () {
  this.timeout(30_000)
  const stacks = new OtherStacks()
  const peers: GossipPeer[] = []

  afterEach(async () => {
    await Promise.all(peers.splice(0).map(async (peer) => peer.stop()))
    await stacks.stop()
  })

  async function node(): Promise<Libp2p<Services>> {
    const stack = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'] })
    stack.services.pubsub?.subscribe(TOPIC)
    return stack
  }

  async function peer(protocols: string[] = [TEMPLATE_GOSSIP_PROTOCOL_ID]): Promise<GossipPeer> {
    const started = await GossipPeer.start({ topic: TOPIC, protocols })
    peers.push(started)
    return started
  }

  const addressOf = (stack: Libp2p): string => String(stack.getMultiaddrs()[0])

  it('is as with one of 1.2: with a backoff when it ends, and with word of what is not wanted', async () => {
    const ours = await node()
    const [author, other] = [await peer(), await peer()]
    await Promise.all([author.join(addressOf(ours)), other.join(addressOf(ours))])
    assert.deepEqual(new Set([...author.streams, ...other.streams]), new Set([TEMPLATE_GOSSIP_PROTOCOL_ID]))
    await author.publish(Buffer.alloc(WORTH_REFUSING_BYTES))
    await other.control(({ idontwant }) => idontwant[0]?.messageIDs[0])
    ours.services.pubsub?.unsubscribe(TOPIC)
    const backoff = await other.control(({ prune }) => prune.find(({ topicID }) => topicID === TOPIC)?.backoff)
    assert.ok(Number(backoff) > 0)
  })

  it('is not chosen where both sides speak 1.2, and 1.2 is what is asked for first', async () => {
    const [ours, theirs] = [await node(), await node()]
    assert.deepEqual(ours.services.pubsub?.protocols.slice(0, 2), ['/meshsub/1.2.0', TEMPLATE_GOSSIP_PROTOCOL_ID])
    const meshed = once(theirs.services.pubsub ?? theirs, 'gossipsub:graft')
    await Promise.all([ours.dial(theirs.getMultiaddrs()), meshed])
    const spoken = ours.getConnections().flatMap(({ streams }) => streams.map(({ protocol }) => protocol))
    assert.ok(spoken.includes('/meshsub/1.2.0'))
    assert.ok(!spoken.includes(TEMPLATE_GOSSIP_PROTOCOL_ID))
  })

  for (const [name, additions] of [
    ['without its extensions message', []],
    ['with its extensions message', [UNKNOWN_CONTROLS, UNKNOWN_EXTENSION]],
  ] as const) {
    it(`reads its first message ${name}`, async () => {
      const ours = await node()
      const bare = await stacks.start()
      const pubsub = ours.services.pubsub
      assert.ok(pubsub != null)
      const heard = once(pubsub, 'subscription-change') as Promise<[CustomEvent<SubscriptionChangeData>]>
      const connection = await bare.dial(ours.getMultiaddrs())
      const stream = await connection.newStream(TEMPLATE_GOSSIP_PROTOCOL_ID)
      const subscribe = RPC.encode({ subscriptions: [{ topic: TOPIC, subscribe: true }], messages: [] })
      await lpStream(stream).write(Buffer.concat([...additions, subscribe]))
      const [{ detail }] = await heard
      assert.ok(detail.peerId.equals(bare.peerId))
      assert.deepEqual(detail.subscriptions, [{ topic: TOPIC, subscribe: true }])
    })
  }
})
