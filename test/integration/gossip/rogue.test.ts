import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { HeartbeatSchema, PeerState } from '../../../src/gen/subnet/gossip/v1/heartbeat_pb.ts'
import { heartbeatTopic } from '../../../src/gossip/heartbeat.ts'
import type { SubnetNode } from '../../../src/index.ts'
import { GossipPeer } from '../../support/gossip-peer.ts'
import { addressOf, event, heartbeats, Lab } from '../../support/nodes.ts'

const SUBNET = 1
const TOPIC = heartbeatTopic(SUBNET)
const EVIL = '/ip4/6.6.6.6/tcp/666'

interface Lie {
  about?: PeerId
  subnetId?: number
  tooLong?: boolean
  at?: string
}

/** A beat with a record that `signer` signed: a true one unless it is told to lie. */
async function beatBy(signer: PrivateKey, lie: Lie = {}): Promise<Uint8Array> {
  const peerId = lie.about ?? peerIdFromPublicKey(signer.publicKey)
  const record = new PeerRecord({ peerId, multiaddrs: [multiaddr(lie.at ?? EVIL)], seqNumber: BigInt(Date.now()) * 1_000n })
  const signedPeerRecord = (await RecordEnvelope.seal(record, signer)).marshal()
  const content = { subnetId: lie.subnetId ?? SUBNET, state: PeerState.ONLINE, sentAtMs: BigInt(Date.now()), intervalMs: 60_000 }
  const beat = create(HeartbeatSchema, { signedPeerRecord, ...content })
  const bytes = toBinary(HeartbeatSchema, beat)
  // a field that nobody knows, of fixed length
  return lie.tooLong !== true ? bytes : Buffer.concat([bytes, Buffer.from([0x7a, 0x80, 0x40]), Buffer.alloc(8_192)])
}

describe('an honest node among rogue peers', function () {
  this.timeout(60_000)
  const lab = new Lab()
  let honest: SubnetNode
  let victim: SubnetNode
  let observer: GossipPeer
  let trueAddresses: Multiaddr[]
  const entered: PeerId[] = []
  const rogues: GossipPeer[] = []

  before(async () => {
    honest = await lab.node({ settings: { heartbeatInterval: '1s' } })
    victim = await lab.node({ settings: { heartbeatInterval: '1s', bootstrap: [addressOf(honest)] } })
    trueAddresses = victim.multiaddrs
    observer = await joined()
    await heartbeats(honest, victim, 1)
  })

  afterEach(async () => {
    await Promise.all(rogues.splice(0).map(async (rogue) => rogue.stop()))
  })

  after(async () => {
    await observer?.stop()
    await lab.clean()
  })

  async function joined(): Promise<GossipPeer> {
    const peer = await GossipPeer.start({ topic: TOPIC })
    await peer.join(addressOf(honest))
    return peer
  }

  async function joinAsRogue(): Promise<GossipPeer> {
    const rogue = await joined()
    rogues.push(rogue)
    return rogue
  }

  const lies: Array<{ name: string; beat: (rogue: GossipPeer) => Promise<Uint8Array> }> = [
    { name: 'a record of another peer that it signed itself', beat: async (rogue) => beatBy(rogue.privateKey, { about: victim.peerId }) },
    { name: 'a record that a third peer signed, as its own', beat: async () => beatBy(await generateKeyPair('Ed25519')) },
    { name: 'a beat of another subnet', beat: async (rogue) => beatBy(rogue.privateKey, { subnetId: SUBNET + 1 }) },
    { name: 'a beat of more than 4 KiB', beat: async (rogue) => beatBy(rogue.privateKey, { tooLong: true }) },
    { name: 'what is no beat at all', beat: async () => Buffer.from('hello') },
  ]

  for (const { name, beat } of lies) {
    it(`neither believes nor passes on ${name}`, async () => {
      const rogue = await joinAsRogue()
      const lie = await beat(rogue)
      await rogue.publish(lie)
      // what the same peer says truly comes after it, and arrives
      const truth = await beatBy(rogue.privateKey)
      const heard = event(honest, 'heartbeat', ({ peerId }) => peerId === rogue.peerId.toString())
      await rogue.publish(truth)
      await heard
      while (!observer.received.some((data) => data.equals(truth))) {
        await event(honest, 'heartbeat')
      }
      assert.ok(!observer.received.some((data) => data.equals(lie)), 'it was passed on')
      const known = await honest.peers({ all: true })
      const entryOf = (peerId: PeerId) => known.find((peer) => peer.peerId.equals(peerId))?.entry
      assert.deepEqual(entryOf(victim.peerId)?.multiaddrs.map(String), trueAddresses.map(String))
      assert.deepEqual(entryOf(rogue.peerId)?.multiaddrs.map(String), [`${EVIL}/p2p/${rogue.peerId.toString()}`])
      const expected = [victim.peerId, rogue.peerId, ...entered].map(String)
      assert.deepEqual(known.flatMap(({ entry }) => entry?.peerId.toString() ?? []).sort(), expected.sort())
      entered.push(rogue.peerId)
    })
  }

  it('never dials a Unix socket that a peer signed for, though private addresses are allowed', async () => {
    const path = join(await lab.folder(), 'bait.sock')
    let dialled = 0
    const bait = createServer((socket) => {
      dialled++
      socket.destroy()
    }).listen(path)
    try {
      await once(bait, 'listening')
      const caller = await lab.node({ settings: { bootstrap: [addressOf(honest)], allowPrivate: true } })
      const rogue = await joinAsRogue()
      const heard = event(caller, 'heartbeat', ({ peerId }) => peerId === rogue.peerId.toString())
      await rogue.publish(await beatBy(rogue.privateKey, { at: `/unix/${encodeURIComponent(path)}` }))
      await heard
      await rogue.stop()
      await assert.rejects(caller.tasks.sendTask(rogue.peerId, 'a task', Buffer.from('payload')), { code: 'UNREACHABLE' })
      assert.equal(dialled, 0)
      entered.push(rogue.peerId)
    } finally {
      bait.close()
    }
  })

  it('drops a liar from those it exchanges beats with', async () => {
    const rogue = await joinAsRogue()
    const dropped = rogue.dropped(honest.peerId)
    await rogue.publish(Buffer.from('a lie'))
    await dropped
  })

  it('hears a peer come, and go', async () => {
    const states: string[] = []
    const other = await lab.idle({
      settings: { listen: ['/ip4/127.0.0.1/tcp/0'], heartbeatInterval: '10m', bootstrap: [addressOf(honest)] },
    })
    honest.on('heartbeat', ({ peerId, state }) => {
      if (peerId === other.peerId.toString()) {
        states.push(state)
      }
    })
    const online = event(honest, 'heartbeat', ({ peerId, state }) => peerId === other.peerId.toString() && state === 'online')
    await other.start()
    await online
    assert.equal((await honest.resolve(other.peerId, { tiers: ['gossip'] })).source, 'gossip')
    const offline = event(honest, 'heartbeat', ({ peerId, state }) => peerId === other.peerId.toString() && state === 'offline')
    await other.stop()
    await offline
    assert.deepEqual(states.slice(-2), ['online', 'offline'])
  })
})
