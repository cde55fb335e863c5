import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Connection, Libp2p } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { heartbeatTopic } from '../../../src/gossip/heartbeat.ts'
import { createLibp2p, type Services, startLibp2p } from '../../../src/node/stack/create-libp2p.ts'
import { newPeer } from '../../support/keys.ts'
import { eventually } from '../../support/protocol-host.ts'
import { SilentProxy } from '../../support/silent-proxy.ts'

const TOPIC = heartbeatTopic(1)

describe('gossip between two peers that connected again before both noticed that the first connection was lost', () => {
  const stacks: Array<Libp2p<Services>> = []

  let proxy: SilentProxy | undefined

  afterEach(async () => {
    proxy?.close()
    await Promise.all(stacks.splice(0).map(async (each) => each.stop()))
  })

  async function stack(): Promise<Libp2p<Services>> {
    const { privateKey } = await newPeer()
    const kadProtocol = `/test/${randomUUID()}/kad/1.0.0`
    const bare = { announce: [], subnetId: 1, kadProtocol, gossipIpColocationWeight: 0, agent: 'bare' }
    const made = await createLibp2p({ privateKey, listen: ['/ip4/127.0.0.1/tcp/0'], ...bare })
    stacks.push(made)
    await startLibp2p(made, true)
    made.services.pubsub?.subscribe(TOPIC)
    return made
  }

  function gossipsOver({ streams }: Connection): boolean {
    return streams.some(({ protocol, direction }) => protocol.startsWith('/meshsub/') && direction === 'outbound')
  }

  it('goes on, both ways, over the second', async () => {
    const ends = [await stack(), await stack()] as const
    const [one, other] = ends
    const port = /\/tcp\/(\d+)/.exec(String(other.getMultiaddrs()[0]))?.[1]
    proxy = await SilentProxy.to(Number(port))
    const [lost] = [await one.dial(multiaddr(`/ip4/127.0.0.1/tcp/${proxy.port}/p2p/${other.peerId.toString()}`))]
    await eventually(() => ends.every((each) => each.getConnections().some(gossipsOver)), 'both have a stream')
    proxy.silence()
    lost.abort(new Error('the peer said nothing'))
    const [unnoticed] = other.getConnections()
    // by then the other's gossipsub was told of the second connection, and found that it has a stream
    const identified = once(other as unknown as EventTarget, 'peer:identify')
    await one.dial(other.getMultiaddrs()[0] as Multiaddr)
    await identified
    await eventually(() => one.getConnections().every(gossipsOver), 'who connected anew has a stream')
    await new Promise(setImmediate)
    unnoticed?.abort(new Error('the peer said nothing'))
    await eventually(() => ends.every((each) => each.getConnections().every(gossipsOver)), 'both have one')
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      await eventually(() => from.services.pubsub?.getSubscribers(TOPIC).length === 1, 'the other is known to listen')
      const heard = once(to.services.pubsub as unknown as EventTarget, 'message')
      await from.services.pubsub?.publish(TOPIC, new Uint8Array([1]))
      await heard
    }
  })
})
