import assert from 'node:assert/strict'
import { mock } from 'node:test'
import { RELAY_V2_HOP_CODEC } from '@libp2p/circuit-relay-v2'
import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { RelayLost, type RelayTransport } from '../../../src/node/adapters/relay-transport.ts'
import type { RelayServer } from '../../../src/node/stack/relay-server.ts'
import { Relaying, type RelayingInit } from '../../../src/node/stack/relaying.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { newPeer } from '../../support/keys.ts'

const SECOND_MS = 1_000

/** Places with relays that give them, or do not. */
class StubRelays extends EventTarget {
  readonly places = new Map<string, PeerId>()
  readonly refreshed: PeerId[] = []
  gives = true
  isConnected: () => boolean = () => true
  asked = 0

  get count(): number {
    return this.places.size
  }

  has(relay: PeerId): boolean {
    return this.places.has(relay.toString())
  }

  async reserve(relay: PeerId): Promise<void> {
    this.asked++
    if (!this.gives || !this.isConnected()) {
      throw new Error('no room')
    }
    this.places.set(relay.toString(), relay)
  }

  async refresh(relay: PeerId): Promise<void> {
    this.refreshed.push(relay)
  }

  release(): void {
    this.places.clear()
  }

  lose(relay: PeerId): void {
    this.places.delete(relay.toString())
    this.dispatchEvent(new RelayLost(relay))
  }
}

describe('a node that is not public', () => {
  let relay: PeerId
  let libp2p: EventTarget & { getConnections(): Connection[]; dial(): Promise<never> }
  let relays: StubRelays
  let relaying: Relaying
  let nowMs: number
  let isConnected: boolean
  let dialled: number

  beforeEach(async () => {
    mock.timers.enable({ apis: ['setTimeout'] })
    nowMs = 1_000_000
    isConnected = true
    relay = (await newPeer()).peerId
    const connection = { remotePeer: relay, remoteAddr: multiaddr('/ip4/45.79.0.1/tcp/4001'), status: 'open' } as unknown as Connection
    dialled = 0
    const dial = async (): Promise<never> => {
      dialled++
      throw new Error('nobody is there')
    }
    libp2p = Object.assign(new EventTarget(), { getConnections: () => (isConnected ? [connection] : []), dial })
    relays = new StubRelays()
    relays.isConnected = () => isConnected
    const known = Array.from({ length: 100 }, (_, n) => ({ peerId: relay, multiaddrs: [multiaddr(`/ip4/45.79.1.${n}/tcp/4001`)] }))
    const server: Pick<RelayServer, 'offer'> = { offer: async () => undefined }
    const init: RelayingInit = {
      libp2p: libp2p as unknown as Libp2p,
      relays: relays as unknown as RelayTransport,
      server: server as RelayServer,
      service: 'auto',
      reachability: undefined,
      acquaintances: (count) => known.slice(0, count),
      log: createLogger('silent', () => undefined),
      now: () => nowMs,
    }
    relaying = new Relaying(init)
    relaying.follow()
    relaying.start()
  })

  afterEach(() => {
    relaying.stop()
    mock.timers.reset()
  })

  function identified(protocols: string[]): void {
    const connection = { remoteAddr: multiaddr('/ip4/45.79.0.1/tcp/4001') }
    libp2p.dispatchEvent(new CustomEvent('peer:identify', { detail: { peerId: relay, protocols, connection } }))
  }

  async function pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      nowMs += SECOND_MS
      mock.timers.tick(SECOND_MS)
      await settled()
    }
  }

  it('has its place back within 30 s from a relay that refused to give it again twice', async () => {
    identified([RELAY_V2_HOP_CODEC])
    await settled()
    assert.equal(relays.count, 1)
    relays.gives = false
    relays.lose(relay)
    await settled()
    assert.equal(relays.asked, 2)
    await pass(10)
    assert.equal(relays.asked, 3)
    relays.gives = true
    await pass(20)
    assert.equal(relays.count, 1)
  })

  it('has its place back as soon as a relay that was away is back', async () => {
    identified([RELAY_V2_HOP_CODEC])
    await settled()
    isConnected = false
    relays.lose(relay)
    await settled()
    isConnected = true
    identified([RELAY_V2_HOP_CODEC])
    await settled()
    assert.equal(relays.count, 1)
  })

  it('does not wait longer for a relay that refused because others tell of themselves', async () => {
    relays.gives = false
    for (let times = 0; times < 4; times++) {
      identified([RELAY_V2_HOP_CODEC])
      await settled()
    }
    assert.equal(relays.asked, 1)
    relays.gives = true
    await pass(6)
    assert.equal(relays.count, 1)
  })

  it('meets 4 peers that it knew in search of a relay after 5 s, and then after twice as long each time, and none once it has one', async () => {
    isConnected = false
    relaying.start()
    for (const [seconds, most] of [
      [4, 0],
      [1, 4],
      [9, 4],
      [1, 8],
      [19, 8],
      [1, 12],
    ] as const) {
      await pass(seconds)
      assert.equal(dialled, most)
    }
    isConnected = true
    identified([RELAY_V2_HOP_CODEC])
    await pass(300)
    assert.equal(relays.count, 1)
    assert.equal(dialled, 12)
  })

  it('asks a relay for its place at once when that says that it is none any more, and does not ask it for another one', async () => {
    identified([RELAY_V2_HOP_CODEC])
    await settled()
    identified([])
    assert.deepEqual(relays.refreshed, [relay])
    relays.lose(relay)
    await pass(30)
    assert.equal(relays.asked, 1)
    identified([RELAY_V2_HOP_CODEC])
    await settled()
    assert.equal(relays.count, 1)
  })
})

/** Lets run what waits for no timer. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise(setImmediate)
  }
}
