import assert from 'node:assert/strict'
import { mock } from 'node:test'
import type { yamux } from '@chainsafe/libp2p-yamux'
import type { Connection, Libp2p } from '@libp2p/interface'
import { Liveness } from '../../../src/node/stack/liveness.ts'

type Yamux = ReturnType<typeof yamux>
type Follow = Parameters<Liveness['follow']>[0]

/** A connection whose muxer only counts its pings. */
class FakeConnection extends EventTarget {
  status: Connection['status'] = 'open'
  rtt: number | undefined
  readonly streams = []
  pings = 0
  abortedWith: Error | undefined
  readonly #libp2p: EventTarget

  constructor(liveness: Liveness, libp2p: EventTarget) {
    super()
    this.#libp2p = libp2p
    const muxer = {
      streams: this.streams,
      getRTT: () => 7,
      ping: async () => {
        this.pings++
        return new Promise<number>(() => undefined)
      },
    }
    const inner = () => ({ protocol: '/yamux/1.0.0', createStreamMuxer: () => muxer })
    liveness
      .watching(inner as unknown as Yamux)()
      .createStreamMuxer(this as never)
    libp2p.dispatchEvent(new CustomEvent('connection:open', { detail: this }))
  }

  receives(): void {
    this.dispatchEvent(new Event('message'))
  }

  abort(reason: Error): void {
    this.abortedWith = reason
    this.status = 'aborted'
    this.dispatchEvent(new Event('close'))
    this.#libp2p.dispatchEvent(new CustomEvent('connection:close', { detail: this }))
  }
}

describe('liveness of connections', () => {
  let connection: FakeConnection
  let liveness: Liveness

  beforeEach(() => {
    mock.timers.enable({ apis: ['setInterval'] })
    liveness = new Liveness()
    const libp2p = new EventTarget()
    liveness.follow(libp2p as unknown as Follow & Libp2p)
    connection = new FakeConnection(liveness, libp2p)
  })

  afterEach(() => mock.timers.reset())

  /** One at a time, as a clock has them. */
  function seconds(count: number): void {
    for (let second = 0; second < count; second++) {
      mock.timers.tick(1_000)
    }
  }

  function inDoubt(): boolean {
    return liveness.inDoubt(connection as unknown as Connection)
  }

  it('closes one on which nothing comes within 15 s, after a ping that nobody answered', () => {
    seconds(3)
    assert.equal(connection.pings, 1)
    assert.equal(inDoubt(), false)
    seconds(1)
    assert.equal(inDoubt(), true)
    seconds(11)
    assert.match(String(connection.abortedWith?.message), /^the peer was silent for 12 s/)
    assert.equal(connection.pings, 1)
  })

  it('keeps one on which pings are answered, and notes how long that takes', () => {
    for (let round = 1; round <= 20; round++) {
      seconds(3)
      assert.equal(connection.pings, round)
      connection.receives()
    }
    assert.equal(connection.abortedWith, undefined)
    assert.equal(connection.rtt, 7)
  })

  it('does not ping one on which something comes', () => {
    for (let round = 0; round < 20; round++) {
      seconds(2)
      connection.receives()
    }
    assert.equal(connection.pings, 0)
  })

  for (const alreadySilent of [0, 1, 2, 3, 4]) {
    it(`keeps one whose other side stands still for 5 s, ${alreadySilent} s after its last byte`, () => {
      seconds(alreadySilent + 5)
      connection.receives()
      assert.equal(connection.abortedWith, undefined)
      assert.equal(inDoubt(), false)
    })
  }

  it('lets those that wait for a doubtful one go on with the next byte, and with its end', async () => {
    const settled = async (): Promise<void> => liveness.settled(connection as unknown as Connection, undefined)
    await settled()
    seconds(5)
    let isSettled = false
    const waiting = settled().then(() => {
      isSettled = true
    })
    await Promise.resolve()
    assert.equal(isSettled, false)
    connection.receives()
    await waiting
    seconds(5)
    const ending = settled()
    connection.abort(new Error('closed'))
    await ending
  })
})
