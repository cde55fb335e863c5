// What the tests of every stack with a relay ask of ours and of theirs.
import assert from 'node:assert/strict'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { type Answer, failure } from './expectations.ts'
import type { ForeignLab, ForeignPeer } from './foreign-peer.ts'

/** Who speaks it is of the subnet. */
const KAD = '/subnet/1/kad/1.0.0'
/** Nobody is there. */
const DEAD = '/ip4/127.0.0.1/tcp/1'

interface PeerInit {
  tasks: boolean
  dht: 'server' | 'client'
  relay: boolean
}

/** What a relay gives for a circuit. */
interface Limits {
  seconds: number
  bytes: number
}

/** @param name of the stack; @param limits that its relays have by themselves */
export function testRelaysOf<Init extends PeerInit>(name: string, peers: ForeignLab<Init>, limits: Limits): void {
  const lab = new Lab()

  afterEach(async () => {
    await peers.clean()
    await lab.clean()
  })

  async function peer(init: Partial<PeerInit>): Promise<ForeignPeer> {
    return peers.peer(init as Partial<Init>)
  }

  function over(relay: string, peerId: { toString(): string }): Multiaddr {
    return multiaddr(`${relay}/p2p-circuit/p2p/${peerId.toString()}`)
  }

  /** A node of ours that has a place with this relay. */
  async function hiddenBehind(relay: string): Promise<SubnetNode> {
    const node = await lab.idle({
      handler: ({ payload }) => payload,
      settings: { listen: ['/ip4/127.0.0.1/tcp/0'], announce: [DEAD], bootstrap: [relay], kadProtocol: KAD },
    })
    const reached = event(node, 'addresses', ({ multiaddrs }) => multiaddrs.some((address) => address.startsWith(`${relay}/p2p-circuit/`)))
    await node.start()
    await reached
    return node
  }

  async function relayOfOurs(): Promise<SubnetNode> {
    return lab.node({ settings: { relayService: 'on', kadProtocol: KAD } })
  }

  /** A peer of the other stack that has a place with a relay of ours. */
  async function seated(relay: SubnetNode): Promise<{ peer: ForeignPeer; given: Limits }> {
    const seated = await peer({ tasks: true, dht: 'server' })
    await seated.do('dial', { address: addressOf(relay) })
    return { peer: seated, given: await seated.do<Limits & Record<string, unknown>>('reserve', { address: addressOf(relay) }) }
  }

  async function callOf(caller: ForeignPeer, to: string): Promise<Answer> {
    return caller.do<Answer & Record<string, unknown>>('call', { peer: to, taskId: 'theirs', size: 50_000, how: 'open' })
  }

  it(`has a place with a relay of ${name}, and is called over it by a node of ours, and by another peer of ${name}`, async () => {
    const relay = await peer({ relay: true })
    const hidden = await hiddenBehind(relay.address)
    const caller = await lab.node()
    const { result } = await caller.tasks.sendTask(over(relay.address, hidden.peerId), 'ours', Buffer.from('x'))
    assert.equal(Buffer.from(result).toString(), 'x')
    const other = await peer({})
    await other.do('dial', { address: over(relay.address, hidden.peerId).toString() })
    const { accepted, sent, result: theirs } = await callOf(other, hidden.peerId.toString())
    assert.deepEqual([accepted, theirs], [true, sent])
  })

  it(`says which limit of the relay of ${name} ended a call`, async () => {
    const relay = await peer({ relay: true })
    const hidden = await hiddenBehind(relay.address)
    const caller = await lab.node()
    const call = caller.tasks.sendTask(over(relay.address, hidden.peerId), 'too large', new Uint8Array(2 * limits.bytes))
    const { code, message } = await failure(call)
    assert.equal(code, 'LIMIT_EXCEEDED', message)
    assert.ok(
      message.startsWith(`the relay ${relay.address} ended the connection: its limit for each connection is ${limits.bytes / 1_024} KiB`),
      message,
    )
  })

  it(`gives a peer of ${name} a place, over which it is called by a node of ours, and by another peer of ${name}`, async () => {
    const relay = await relayOfOurs()
    const { peer: hidden, given } = await seated(relay)
    assert.deepEqual([given.seconds, given.bytes], [600, 16 << 20])
    const caller = await lab.node()
    const payload = Buffer.alloc(1 << 20, 7)
    const { result } = await caller.tasks.sendTask(over(addressOf(relay), hidden.peerId), 'ours', payload)
    assert.ok(payload.equals(result))
    const other = await peer({})
    await other.do('dial', { address: over(addressOf(relay), hidden.peerId).toString() })
    const { accepted, sent, result: theirs } = await callOf(other, hidden.peerId)
    assert.deepEqual([accepted, theirs], [true, sent])
    assert.equal(relay.stats.relay?.circuits, 2)
  })

  it(`passes a call of a peer of ${name} on to a node of ours`, async () => {
    const relay = await relayOfOurs()
    const hidden = await hiddenBehind(addressOf(relay))
    const caller = await peer({})
    await caller.do('dial', { address: over(addressOf(relay), hidden.peerId).toString() })
    const { accepted, sent, result } = await callOf(caller, hidden.peerId.toString())
    assert.deepEqual([accepted, result], [true, sent])
  })
}
