import assert from 'node:assert/strict'
import type { Connection, PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { isAside } from '../../../src/node/dial/aside.ts'
import { DIAL_REQUEST_PROTOCOL_ID } from '../../../src/node/reachability/autonat-stream.ts'
import { Prober, type ProberInit } from '../../../src/node/reachability/prober.ts'
import type { DialBackOutcome, Verdict } from '../../../src/node/reachability/reachability.ts'
import { createLogger } from '../../../src/observe/logger.ts'

const OWN = '/ip4/45.79.0.1/tcp/38960'
const MINUTE_MS = 60_000

const nothing = (): void => undefined

/** A node whose peers dial back, or say that they did not. */
class Bench {
  own = [OWN]
  nowMs = 0
  /** By the name of a peer. */
  readonly answers = new Map<string, DialBackOutcome>()
  readonly asked: string[] = []
  onAsked = nothing
  readonly announced: string[] = []
  readonly verdicts: Verdict[] = []
  readonly prober: Prober
  readonly #events = new EventTarget()
  #connections: Connection[] = []

  constructor(init: Partial<ProberInit> = {}) {
    const libp2p = {
      getMultiaddrs: () => ['/ip4/10.0.0.7/tcp/38960', ...this.announced].map((address) => multiaddr(address)),
      getConnections: () => this.#connections,
      addEventListener: this.#events.addEventListener.bind(this.#events),
      removeEventListener: this.#events.removeEventListener.bind(this.#events),
    } as ProberInit['libp2p']
    this.prober = new Prober({
      libp2p,
      candidates: { list: () => this.own.map((address) => multiaddr(address)), observed: nothing, disconnected: nothing, moved: nothing },
      requests: { start: async () => undefined, ask: async (connection, address) => this.#answer(connection, address) },
      isOutside: ({ remoteAddr }) => !remoteAddr.toString().startsWith('/ip4/10.'),
      announce: (address, isPublic) => {
        isPublic ? this.announced.push(address.toString()) : this.announced.splice(this.announced.indexOf(address.toString()), 1)
      },
      log: createLogger('error', () => undefined),
      now: () => this.nowMs,
      ...init,
    })
    this.prober.onVerdict((verdict) => this.verdicts.push(verdict))
  }

  #answer({ remotePeer }: Connection, address: Multiaddr): { outcome: DialBackOutcome; detail: string } {
    this.onAsked()
    this.asked.push(`${remotePeer.toString()} ${address.toString()}`)
    return { outcome: this.answers.get(remotePeer.toString()) ?? 'declined', detail: '' }
  }

  /** A peer connects and tells its protocols. */
  meet(name: string, answer: DialBackOutcome, remote = '45.80.0.1', protocols = [DIAL_REQUEST_PROTOCOL_ID]): void {
    const remotePeer = { toString: () => name } as PeerId
    const connection = { remotePeer, remoteAddr: multiaddr(`/ip4/${remote}/tcp/1`), status: 'open' } as Connection
    this.answers.set(name, answer)
    this.#connections.push(connection)
    this.#tell('peer:identify', { connection, protocols })
  }

  /** A further connection, before anything is told on it. */
  open(name: string, direction: 'inbound' | 'outbound'): Connection {
    const connection = { remotePeer: { toString: () => name }, status: 'open', direction } as Connection
    this.#tell('connection:open', connection)
    return connection
  }

  leave(name: string): void {
    this.#connections = this.#connections.filter(({ remotePeer }) => remotePeer.toString() !== name)
    this.#tell('peer:disconnect', { toString: () => name })
  }

  change(own: string[]): void {
    this.own = own
    this.#tell('self:peer:update', {})
  }

  #tell(type: string, detail: object): void {
    this.#events.dispatchEvent(new CustomEvent(type, { detail }))
  }

  /** Ends once the node has nothing more to ask. */
  async settled(count: number): Promise<void> {
    await this.prober.look()
    assert.equal(this.asked.length, count, this.asked.join('; '))
  }
}

describe('a node that asks peers to dial it back', () => {
  let bench: Bench

  beforeEach(async () => {
    bench = new Bench()
    await bench.prober.start()
  })

  afterEach(async () => bench.prober.stop())

  it('asks a peer that comes, unasked itself', async () => {
    const asked = Promise.withResolvers<Verdict>()
    bench.prober.onVerdict(asked.resolve)
    bench.meet('a', 'reached')
    assert.equal(await asked.promise, 'public')
  })

  it('is public after one dial-back, announces that address, and asks no more', async () => {
    bench.meet('a', 'reached')
    bench.meet('b', 'reached')
    await bench.settled(1)
    assert.deepEqual([bench.prober.verdict, bench.verdicts, bench.announced], ['public', ['public'], [OWN]])
  })

  it('puts the connection aside on which the asked peer dials back, and no other', async () => {
    const opened: Record<string, Connection> = {}
    bench.onAsked = () => {
      opened['before'] = bench.open('b', 'inbound')
      opened['own'] = bench.open('a', 'outbound')
      opened['dial-back'] = bench.open('a', 'inbound')
    }
    bench.meet('a', 'reached')
    await bench.settled(1)
    opened['later'] = bench.open('a', 'inbound')
    assert.deepEqual(
      Object.keys(opened).filter((name) => isAside(opened[name] as Connection)),
      ['dial-back'],
    )
  })

  it('is private after the failures of two peers, and asks no third', async () => {
    for (const name of ['a', 'b', 'c']) {
      bench.meet(name, 'failed')
    }
    await bench.settled(2)
    assert.deepEqual([bench.prober.verdict, bench.announced], ['private', []])
  })

  it('is private after one failure where there is one peer, and asks the next that comes', async () => {
    bench.meet('a', 'failed')
    await bench.settled(1)
    assert.equal(bench.prober.verdict, 'private')
    bench.meet('b', 'reached')
    await bench.settled(2)
    assert.equal(bench.prober.verdict, 'public')
  })

  it('is unknown where peers decline, and asks the next that comes', async () => {
    bench.meet('a', 'declined')
    bench.meet('b', 'declined')
    await bench.settled(2)
    assert.equal(bench.prober.verdict, 'unknown')
    bench.meet('c', 'failed')
    await bench.settled(3)
    assert.equal(bench.prober.verdict, 'private')
  })

  it('asks nobody inside of its network, nobody at its own address, and nobody that dials nobody back', async () => {
    bench.meet('inside', 'reached', '10.0.0.9')
    bench.meet('behind the same router', 'reached', '45.79.0.1')
    bench.meet('other', 'reached', '45.80.0.1', ['/ipfs/ping/1.0.0'])
    await bench.settled(0)
    assert.equal(bench.prober.verdict, 'unknown')
  })

  it('asks again when its addresses change', async () => {
    bench.meet('a', 'failed')
    await bench.settled(1)
    bench.change(['/ip4/45.79.0.2/tcp/38960'])
    await bench.settled(2)
    assert.deepEqual(bench.asked, [`a ${OWN}`, 'a /ip4/45.79.0.2/tcp/38960'])
  })

  it('asks about an address that a router gave, announces it no longer once that is gone, and forgets what was said of it', async () => {
    bench.own = []
    bench.meet('a', 'reached')
    bench.own = [OWN]
    bench.prober.candidatesChanged([])
    await bench.settled(1)
    assert.deepEqual(bench.announced, [OWN])
    bench.own = []
    bench.prober.candidatesChanged([multiaddr(OWN)])
    assert.deepEqual(bench.announced, [])
    await bench.settled(1)
    assert.equal(bench.prober.verdict, 'unknown')
    // as where peers see the node there still
    bench.own = [OWN]
    bench.prober.candidatesChanged([])
    await bench.settled(2)
  })

  it('takes an address back that is reached no more, after two peers say so', async () => {
    bench.meet('a', 'reached')
    await bench.settled(1)
    bench.meet('b', 'failed')
    bench.answers.set('a', 'failed')
    bench.nowMs += 31 * MINUTE_MS
    await bench.settled(3)
    assert.deepEqual([bench.prober.verdict, bench.announced, bench.verdicts], ['private', [], ['public', 'private']])
  })

  it('asks about a private address again after ten minutes, and not before', async () => {
    bench.meet('a', 'failed')
    await bench.settled(1)
    bench.answers.set('a', 'reached')
    bench.nowMs += 9 * MINUTE_MS
    await bench.settled(1)
    bench.nowMs += MINUTE_MS
    await bench.settled(2)
    assert.equal(bench.prober.verdict, 'public')
  })

  it('asks at most 24 questions at once, however many peers decline', async () => {
    for (let count = 0; count < 40; count++) {
      bench.meet(`peer ${count}`, 'declined')
    }
    await bench.settled(24)
  })

  it('keeps its verdict when the peers that gave it leave', async () => {
    bench.meet('a', 'reached')
    await bench.settled(1)
    bench.leave('a')
    await bench.settled(1)
    assert.equal(bench.prober.verdict, 'public')
  })

  it('says of each address who said what, and when; those of a private network are private', async () => {
    bench.nowMs = 77
    bench.meet('a', 'reached')
    await bench.settled(1)
    assert.deepEqual(
      bench.prober.addresses.map(({ multiaddr: address, ...rest }) => ({ address: address.toString(), ...rest })),
      [
        { address: OWN, verdict: 'public', reports: [{ peerId: 'a', outcome: 'reached', detail: '', atMs: 77 }] },
        { address: '/ip4/10.0.0.7/tcp/38960', verdict: 'private', reports: [] },
      ],
    )
  })
})
