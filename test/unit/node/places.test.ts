import assert from 'node:assert/strict'
import { once } from 'node:events'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Libp2p, MultiaddrConnection, PeerId } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { Descriptors } from '../../../src/node/stack/descriptors.ts'
import { Places, type PlacesInit } from '../../../src/node/stack/places.ts'

/** What a connection is before its handshake, and after it. */
class FakeConnection extends EventTarget {
  readonly remoteAddr: Connection['remoteAddr']
  readonly remotePeer: PeerId
  readonly direction: 'inbound' | 'outbound'
  status: 'open' | 'closed' = 'open'
  streams: Array<{ protocol: string }> = []

  constructor(host: string, remotePeer: PeerId, direction: 'inbound' | 'outbound' = 'inbound') {
    super()
    this.remoteAddr = multiaddr(`/ip${host.includes(':') ? 6 : 4}/${host}/tcp/1`)
    this.remotePeer = remotePeer
    this.direction = direction
  }

  abort(): void {
    if (this.status === 'open') {
      this.status = 'closed'
      this.dispatchEvent(new Event('close'))
    }
  }
}

describe('places', () => {
  let nowMs: number
  let kept: Set<FakeConnection>
  let libp2p: EventTarget
  let places: Places
  let peers: PeerId[]

  before(async () => {
    peers = await Promise.all(Array.from({ length: 30 }, async () => peerIdFromPrivateKey(await generateKeyPair('Ed25519'))))
  })

  beforeEach(() => {
    nowMs = 1_000
    kept = new Set()
    libp2p = new EventTarget()
    make()
  })

  let next = 0
  const aPeer = (): PeerId => peers[next++ % peers.length] as PeerId

  function make(init: Partial<PlacesInit> = {}): void {
    libp2p = new EventTarget()
    places = new Places({
      maxPerIp: 6,
      maxOpen: 8,
      maxPending: 6,
      keeps: () => (peerId) => [...kept].some(({ remotePeer }) => remotePeer === peerId),
      now: () => nowMs,
      ...init,
    })
    places.follow(libp2p as unknown as Libp2p)
  }

  function arrive(host: string): { connection: FakeConnection; admitted: boolean } {
    const connection = new FakeConnection(host, aPeer())
    return { connection, admitted: !places.gater.denyInboundConnection(connection as unknown as MultiaddrConnection) }
  }

  function upgrade(connection: FakeConnection): FakeConnection {
    places.gater.denyInboundUpgradedConnection(connection.remotePeer, connection as unknown as MultiaddrConnection)
    return opened(connection)
  }

  function opened(connection: FakeConnection): FakeConnection {
    nowMs++
    connection.addEventListener('close', () => libp2p.dispatchEvent(new CustomEvent('connection:close', { detail: connection })))
    libp2p.dispatchEvent(new CustomEvent('connection:open', { detail: connection }))
    return connection
  }

  function open(host: string): FakeConnection {
    const { connection, admitted } = arrive(host)
    assert.ok(admitted, `${host} is let in`)
    return upgrade(connection)
  }

  const dial = (host: string): FakeConnection => opened(new FakeConnection(host, aPeer(), 'outbound'))
  const openOnes = (...connections: FakeConnection[]): boolean[] => connections.map(({ status }) => status === 'open')
  const pendingOf = (host: string, count: number): FakeConnection[] =>
    Array.from({ length: count }, () => arrive(host)).flatMap(({ connection, admitted }) => (admitted ? [connection] : []))

  function assertAllFree(): void {
    const { open, pending, largest } = places.state
    assert.deepEqual({ open, pending, largest }, { open: 0, pending: 0, largest: undefined })
  }

  it('give a host two thirds of its share for handshakes, and no more', () => {
    assert.equal(pendingOf('192.0.2.1', 10).length, 4)
    assert.equal(pendingOf('192.0.2.2', 1).length, 1)
    assert.deepEqual(places.state.largest, { ip: '192.0.2.1', open: 0, pending: 4 })
    assert.equal(places.state.turnedAway, 6)
    assert.equal(places.state.refusedAtMs, undefined)
  })

  it('go to no newcomer while all file descriptors but the reserved ones are taken', () => {
    let open = 59
    make({ descriptors: new Descriptors({ limit: 80, count: () => open }) })
    const first = arrive('192.0.2.1')
    assert.equal(first.admitted, true)
    assert.deepEqual([places.isOutOfDescriptors, places.state.descriptors], [false, undefined])
    open = 61
    assert.equal(arrive('192.0.2.2').admitted, false)
    assert.deepEqual([places.isOutOfDescriptors, places.state.descriptors], [true, { open: 61, limit: 80 }])
    assert.equal(first.connection.status, 'open')
    open = 60
    assert.equal(arrive('192.0.2.2').admitted, true)
    make({ descriptors: new Descriptors({ limit: 1_048_576, count: () => assert.fail('nobody counts so many') }) })
    assert.equal(arrive('192.0.2.1').admitted, true)
  })

  it('are counted by /64, and by IPv4 address where that is written as IPv6', () => {
    assert.equal(pendingOf('2001:db8::1', 3).length + pendingOf('2001:db8::ffff:2', 3).length, 4)
    make()
    assert.equal(pendingOf('192.0.2.1', 3).length + pendingOf('::ffff:192.0.2.1', 3).length, 4)
  })

  it('are given back when a handshake fails, and when a connection ends', () => {
    for (const connection of pendingOf('192.0.2.1', 4)) {
      connection.abort()
      connection.abort()
    }
    assertAllFree()
    open('192.0.2.1').abort()
    dial('192.0.2.2').abort()
    assertAllFree()
    const gone = new FakeConnection('192.0.2.1', aPeer())
    gone.abort()
    assert.equal(places.gater.denyInboundConnection(gone as unknown as MultiaddrConnection), true)
    opened(gone)
    assertAllFree()
  })

  it('are given back when a newcomer is refused that no place was left for', () => {
    const [first] = pendingOf('192.0.2.1', 1)
    make({ maxPending: 0 })
    assert.equal(arrive('192.0.2.1').admitted, false)
    assert.equal(first?.status, 'open')
    assertAllFree()
  })

  it('where all handshakes are pending, are taken from the host that has most, its oldest first', () => {
    const crowd = pendingOf('192.0.2.1', 4)
    const others = pendingOf('192.0.2.2', 2)
    assert.equal(places.state.pending, 6)
    assert.equal(arrive('192.0.2.3').admitted, true)
    assert.deepEqual(openOnes(...crowd, ...others), [false, true, true, true, true, true])
    assert.equal(places.state.pending, 6)
  })

  it('where each host has one pending, go from the oldest to a newcomer, but not to one of the same host', () => {
    const [oldest] = pendingOf('192.0.2.1', 1)
    for (const last of [2, 3, 4, 5, 6]) {
      assert.equal(arrive(`192.0.2.${last}`).admitted, true)
    }
    assert.equal(arrive('192.0.2.6').admitted, false)
    assert.equal(places.state.refusedAtMs, nowMs)
    assert.equal(arrive('192.0.2.7').admitted, true)
    assert.equal(oldest?.status, 'closed')
  })

  it('for handshakes are taken back sooner while more than half of them are taken', async () => {
    const slow = pendingOf('192.0.2.1', 4)
    const over = slow.map((connection) => once(connection, 'close'))
    nowMs += 3_000
    const [late] = pendingOf('192.0.2.2', 1)
    await Promise.all(over)
    assert.equal(late?.status, 'open')
    assert.equal(places.state.pending, 1)
  })

  it('of a host that has its share go from its idlest connection to the next, once that was idle for a minute', () => {
    const crowd = Array.from({ length: 6 }, () => open('192.0.2.1'))
    const other = open('192.0.2.2')
    assert.equal(arrive('192.0.2.1').admitted, false)
    nowMs += 60_000
    open('192.0.2.1')
    assert.deepEqual(openOnes(...crowd, other), [false, true, true, true, true, true, true])
    assert.equal(places.state.displaced, 1)
  })

  it('of a host that has its share, all in use, are refused to it alone', () => {
    for (let count = 0; count < 6; count++) {
      open('192.0.2.1').streams = [{ protocol: '/subnet/task_protocol/1.0.0' }]
    }
    assert.equal(arrive('192.0.2.1').admitted, false)
    assert.equal(arrive('192.0.2.2').admitted, true)
    assert.equal(places.state.refusedAtMs, undefined)
  })

  it('where all are open, go from the idlest of the host that has most to a newcomer', () => {
    const old = open('192.0.2.9')
    const crowd = Array.from({ length: 6 }, () => open('192.0.2.1'))
    const mine = dial('192.0.2.8')
    open('192.0.2.2')
    assert.deepEqual(openOnes(old, mine, ...crowd), [true, true, false, true, true, true, true, true])
  })

  it('where all are open, do not go from a host to one that has as many, until a connection was idle for a minute', () => {
    const all = [1, 2, 3, 4, 5, 6, 7, 8].map((last) => open(`192.0.2.${last}`))
    assert.equal(arrive('192.0.2.9').admitted, false)
    assert.equal(places.state.refusedAtMs, nowMs)
    nowMs += 60_000
    open('192.0.2.9')
    assert.deepEqual(openOnes(...all), [false, ...all.slice(1).map(() => true)])
  })

  it('are given to 200 newcomers of a host in a second', () => {
    make({ maxPerIp: 300, maxPending: 300, maxOpen: 300 })
    const network = Array.from({ length: 201 }, (_, index) => arrive(`2001:db8::${index.toString(16)}`))
    for (const { connection } of network) {
      connection.abort()
    }
    assert.equal(arrive('2001:db8::1').admitted, false)
    assert.equal(arrive('2001:db8:0:1::1').admitted, true)
    nowMs += 1_000
    assert.equal(arrive('2001:db8::1').admitted, true)
  })

  it('where all are in use, are refused, and that is told', () => {
    for (const last of [1, 2, 3, 4, 5, 6, 7, 8]) {
      open(`192.0.2.${last}`).streams = [{ protocol: '/some/protocol/1.0.0' }]
    }
    assert.equal(arrive('192.0.2.9').admitted, false)
    assert.equal(places.state.refusedAtMs, nowMs)
  })

  it('are idle with what libp2p keeps on a connection, and with streams that are not negotiated', () => {
    for (const protocol of ['', '/meshsub/1.2.0', '/ipfs/id/1.0.0', '/ipfs/id/push/1.0.0', '/ipfs/ping/1.0.0', '/subnet/1/kad/1.0.0']) {
      open(`192.0.2.${places.state.open + 1}`).streams = [{ protocol }]
    }
    open('192.0.2.7')
    open('192.0.2.8')
    nowMs += 60_000
    for (let last = 11; last < 19; last++) {
      open(`192.0.2.${last}`).streams = [{ protocol: '/some/protocol/1.0.0' }]
    }
    assert.equal(places.state.displaced, 8)
    assert.equal(places.state.open, 8)
  })

  it('of peers that are kept, or were called, do not go to strangers, but to others that are kept', () => {
    const all = [1, 2, 3, 4, 5, 6, 7, 8].map((last) => open(`192.0.2.${last}`))
    for (const connection of all.slice(1)) {
      kept.add(connection)
    }
    places.called((all[0] as FakeConnection).remotePeer)
    nowMs += 60_000
    const stranger = open('192.0.2.9')
    assert.equal(stranger.status, 'closed')
    assert.deepEqual(
      openOnes(...all),
      all.map(() => true),
    )
    const { connection } = arrive('192.0.2.10')
    kept.add(connection)
    upgrade(connection)
    assert.deepEqual(openOnes(connection, ...all), [true, false, ...all.slice(1).map(() => true)])
  })

  it('are never refused to connections that this node opens', () => {
    const all = Array.from({ length: 12 }, () => dial('192.0.2.1'))
    assert.equal(all.at(-1)?.status, 'open')
    assert.equal(places.state.open, 8)
    for (const connection of all) {
      connection.streams = [{ protocol: '/some/protocol/1.0.0' }]
    }
    assert.equal(dial('192.0.2.1').status, 'open')
    assert.equal(places.state.open, 9)
    assert.equal(places.state.largest, undefined)
  })

  it('are not counted by host on this machine, unless the share is set', () => {
    make({ maxPerIp: undefined, maxPending: 300, maxOpen: 300 })
    assert.equal(pendingOf('127.0.0.1', 150).length, 150)
    assert.equal(pendingOf('192.0.2.1', 150).length, 100)
    make({ maxPerIp: 6 })
    assert.equal(pendingOf('127.0.0.1', 150).length, 4)
  })
})
