import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import { StreamResetError, UnsupportedProtocolError } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { streamPair } from '@libp2p/utils'
import { pipelinedId } from '../../../src/protocol/api/host.ts'
import { ByteBudget, DEFAULT_LIMITS, PeerShare } from '../../../src/protocol/api/limits.ts'
import type { MessageStream } from '../../../src/protocol/api/message-stream.ts'
import { NotTakenError } from '../../../src/protocol/api/not-taken-error.ts'
import { Pipeline } from '../../../src/protocol/carrier/kept/pipeline.ts'
import { PipelinedCall } from '../../../src/protocol/carrier/kept/pipelined-call.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { StreamOpener } from '../../../src/protocol/carrier/stream-opener.ts'
import { boundsOf, echo, NEVER_MS } from '../../support/pipelines.ts'

const ID = '/test/1.0.0'
/** What a connection is asked for: the ids, and whether their confirmation is waited for. */
const KEPT = ['lazily', pipelinedId(ID)]
const OWN = ['lazily', ID]
const EITHER = [pipelinedId(ID), ID]
/** As most calls are. */
const ANY = { signal: new AbortController().signal, repeatable: true }
/** Its request is used up when it is sent. */
const ONCE = { ...ANY, repeatable: false }

/** The other side of a connection: what is asked of it, and what it does with streams of many calls. */
class Peer {
  readonly peerId: PeerId
  /** Of each stream that was asked for, the protocols that would do, and whether their confirmation was waited for. */
  asked: string[][] = []
  /** Those that were given, this side's ends. */
  streams: Stream[] = []
  pipelined = true
  /** What it told of itself. */
  served: ReadonlySet<string> | undefined
  /** Streams are given when it resolves. */
  opens: Promise<unknown> = Promise.resolve()
  keep: (stream: Stream) => void = (stream) => {
    new Pipeline({
      stream,
      stallTimeoutMs: NEVER_MS,
      idleMs: NEVER_MS,
      onClosed: () => undefined,
      answers: { bounds: boundsOf(), onCall: (call) => void echo(call).catch((error) => call.abort(error)) },
    })
  }

  constructor(peerId: PeerId) {
    this.peerId = peerId
  }

  connect(): Connection {
    const newStream = async (ids: string[], { signal, lazily }: { signal: AbortSignal; lazily: boolean }): Promise<Stream> => {
      this.asked.push(lazily ? ['lazily', ...ids] : ids)
      const gaveUp = Promise.withResolvers<never>()
      signal.addEventListener('abort', () => gaveUp.reject(signal.reason))
      await Promise.race([this.opens, gaveUp.promise])
      const id = ids.find((one) => one === ID || this.pipelined)
      if (id == null) {
        throw new UnsupportedProtocolError('none of these')
      }
      const [outbound, inbound] = await streamPair()
      outbound.protocol = id
      this.streams.push(outbound)
      if (id === ID) {
        void echo(new FramedStream(inbound, DEFAULT_LIMITS, new ByteBudget(2 ** 30)) as never).catch((error) => inbound.abort(error))
      } else {
        this.keep(inbound)
      }
      return outbound
    }
    return { remotePeer: this.peerId, status: 'open', newStream } as unknown as Connection
  }
}

/** One request, its answer. */
async function ask(stream: MessageStream): Promise<string> {
  await stream.write(Buffer.from('hello'))
  const { bytes } = await stream.read()
  stream.expectEnd()
  await stream.close({})
  return Buffer.from(bytes).toString()
}

describe('the streams of calls to a peer', () => {
  const now = performance.now
  let peer: Peer
  let connection: Connection
  let share: PeerShare
  let streams: StreamOpener

  function streamsWith(init: Partial<ConstructorParameters<typeof StreamOpener>[0]> = {}): StreamOpener {
    return new StreamOpener({
      host: { protocolsOf: async () => [], servedOn: () => peer.served },
      id: ID,
      limits: DEFAULT_LIMITS,
      pipelined: true,
      ...init,
    })
  }

  async function call(on = connection, options = ANY): Promise<boolean> {
    const stream = await streams.open(on, share, options)
    assert.equal(await ask(stream), 'hello')
    return stream instanceof PipelinedCall
  }

  beforeEach(async () => {
    peer = new Peer(peerIdFromPrivateKey(await generateKeyPair('Ed25519')))
    connection = peer.connect()
    share = new PeerShare(DEFAULT_LIMITS, new ByteBudget(2 ** 30))
    streams = streamsWith()
  })

  afterEach(() => {
    performance.now = now
    streams.stop()
  })

  /** It is that much later. */
  function pass(ms: number): void {
    const before = performance.now
    performance.now = () => before.call(performance) + ms
  }

  it('are one, however many there are at once, and later', async () => {
    assert.deepEqual(new Set(await Promise.all(Array.from({ length: 50 }, async () => call()))), new Set([true]))
    assert.ok(await call())
    assert.deepEqual(peer.asked, [KEPT])
  })

  it('are one for all that speak the protocol on the connection, whichever of them stops', async () => {
    await call()
    const others = streamsWith()
    const stream = await others.open(connection, share, ANY)
    streams.stop()
    assert.equal(await ask(stream), 'hello')
    assert.equal(peer.asked.length, 1)
    assert.equal(await ask(await others.open(connection, share, ANY)), 'hello', 'on another: the first one is closed')
    assert.deepEqual(peer.asked, [KEPT, KEPT])
  })

  it('are one each with a peer that speaks no other; that is asked once, by the first call', async () => {
    peer.pipelined = false
    for (let round = 0; round < 5; round++) {
      assert.equal(await call(), false)
    }
    assert.deepEqual(peer.asked, [KEPT, OWN, OWN, OWN, OWN, OWN])
  })

  it('are one each while nobody knows yet, of calls that came at once to such a peer', async () => {
    peer.pipelined = false
    await Promise.all(Array.from({ length: 10 }, async () => call()))
    assert.deepEqual(peer.asked, [KEPT, ...Array(10).fill(OWN)])
  })

  it('are asked for without a wait as the peer told what it speaks, also for a request that can be sent only once', async () => {
    peer.pipelined = false
    peer.served = new Set([ID])
    assert.equal(await call(connection, ONCE), false)
    peer.pipelined = true
    peer.served = new Set([ID, pipelinedId(ID)])
    assert.equal(await call(peer.connect(), ONCE), true)
    assert.deepEqual(peer.asked, [OWN, KEPT])
  })

  it('are waited for where nobody knows, for a request that can be sent only once, and where the peer told to speak neither', async () => {
    assert.equal(await call(connection, ONCE), true)
    peer.served = new Set(['/other/1.0.0'])
    assert.equal(await call(peer.connect()), true)
    assert.deepEqual(peer.asked, [EITHER, EITHER])
  })

  it('are waited for once the peer has denied what it told, until it has confirmed that again', async () => {
    peer.pipelined = false
    peer.served = new Set([ID])
    const denied = new UnsupportedProtocolError('no more')
    const first = await streams.open(connection, share, ANY)
    peer.streams[0]?.abort(denied)
    await assert.rejects(first.read(), (error) => error instanceof NotTakenError && error.why === 'unsupported')
    for (const lazily of [false, true, true]) {
      peer.asked = []
      assert.equal(await call(), false)
      assert.deepEqual(peer.asked, [lazily ? OWN : [ID]])
    }
  })

  it('are one again when such a peer has learned it and is connected anew', async () => {
    peer.pipelined = false
    await call()
    peer.pipelined = true
    assert.equal(await call(), false)
    assert.equal(await call(peer.connect()), true)
  })

  it('are one each where the protocol wants it so', async () => {
    streams = streamsWith({ pipelined: false })
    assert.equal(await call(), false)
    assert.deepEqual(peer.asked, [OWN])
  })

  it('do not depend on a call that gives up while it opens the one for all: another opens it', async () => {
    const opens = Promise.withResolvers<void>()
    peer.opens = opens.promise
    const controller = new AbortController()
    const first = assert.rejects(streams.open(connection, share, { ...ANY, signal: controller.signal }), /enough/)
    const others = [call(), call()]
    await turn()
    controller.abort(new Error('enough'))
    await first
    opens.resolve()
    assert.deepEqual(await Promise.all(others), [true, true])
    assert.deepEqual(peer.asked, [KEPT, KEPT])
  })

  it('let a call go that gives up while another opens the one for all', async () => {
    const opens = Promise.withResolvers<void>()
    peer.opens = opens.promise
    const first = call()
    const controller = new AbortController()
    const second = assert.rejects(streams.open(connection, share, { ...ANY, signal: controller.signal }), /enough/)
    await turn()
    controller.abort(new Error('enough'))
    await second
    opens.resolve()
    assert.equal(await first, true)
    assert.equal(peer.asked.length, 1)
  })

  it('fail for all that wait when the peer speaks neither', async () => {
    peer.pipelined = false
    peer.opens = Promise.reject(new UnsupportedProtocolError('neither'))
    const calls = await Promise.allSettled([call(), call(), call()])
    for (const { status, ...rest } of calls) {
      assert.equal(status, 'rejected')
      assert.equal((rest as { reason: { code: string } }).reason.code, 'PROTOCOL_UNSUPPORTED')
    }
  })

  it('are one each for a while after the one for all broke; the longer the oftener it broke', async () => {
    peer.keep = (stream) => stream.addEventListener('message', () => stream.abort(new Error('no')), { once: true })
    const broken = async (): Promise<void> => {
      await assert.rejects(call(), { code: 'REMOTE_FAILED' })
    }
    performance.now = () => 1_000_000
    for (const backoffMs of [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]) {
      await broken()
      pass(backoffMs - 1)
      assert.equal(await call(), false, `${backoffMs} ms are not over`)
      pass(1)
    }
    // one that works is as good as new
    peer.keep = new Peer(peer.peerId).keep
    assert.equal(await call(), true)
    peer.streams.at(-1)?.abort(new Error('the test'))
    assert.equal(await call(), false)
    pass(100)
    assert.equal(await call(), true)
  })

  it('are not taken where the peer resets them while they are negotiated: the connection is as good as before', async () => {
    peer.opens = Promise.reject(new StreamResetError())
    for (const init of [{}, { pipelined: false }]) {
      await assert.rejects(
        streamsWith(init).open(peer.connect(), share, ONCE),
        (error) => error instanceof NotTakenError && error.why === 'unconfirmed',
      )
    }
    const lost = Object.assign(peer.connect(), { status: 'aborted' })
    await assert.rejects(streams.open(lost, share, ONCE), { name: 'ConnectionLostError' })
  })

  it('wait for no place among those of their own where the peer had one for all: it is one of ours, and takes as many', async () => {
    performance.now = () => 1_000_000
    await call()
    peer.streams[0]?.abort(new Error('the test'))
    const opened = await Promise.all(Array.from({ length: 100 }, async () => streams.open(connection, share, ANY)))
    assert.ok(opened.every((stream) => stream instanceof FramedStream))
    for (const stream of opened) {
      stream.abort(new Error('done'))
    }
  })

  it('are found, also where each one for all is closed, or broken, as soon as it is there', async () => {
    for (const leave of [(stream: Stream) => stream.abort(new Error('no')), (stream: Stream) => void stream.close()]) {
      peer.keep = leave
      connection = peer.connect()
      peer.asked = []
      // it is heard of before or after the call has begun: then it fails, and the next one does better
      await call()
        .catch(() => call())
        .catch(() => call())
      assert.ok(peer.asked.length <= 8, `${peer.asked.length} streams were asked for`)
    }
  })

  it('are found where they were closed or broken before they could be used', async () => {
    const connect = peer.connect.bind(peer)
    for (const end of [(stream: Stream) => stream.abort(new Error('no')), async (stream: Stream) => stream.close()]) {
      const { newStream, ...rest } = connect()
      const dead = async (ids: string[], options: object): Promise<Stream> => {
        const stream = await newStream(ids, options)
        if (stream.protocol !== ID) {
          await end(stream)
        }
        return stream
      }
      peer.asked = []
      assert.equal(await call({ ...rest, newStream: dead } as unknown as Connection), false)
      assert.deepEqual(peer.asked, [KEPT, KEPT, KEPT, OWN].slice(-peer.asked.length))
    }
  })

  it('end when there were no calls for a while; the next call opens another', async () => {
    streams = streamsWith({ idleMs: 20 })
    await call()
    const [stream] = peer.streams
    const { promise, resolve } = Promise.withResolvers<Error | undefined>()
    stream?.addEventListener('close', ({ error }) => resolve(error))
    assert.equal(await promise, undefined, 'closed, not reset')
    assert.equal(await call(), true)
    assert.deepEqual(peer.asked, [KEPT, KEPT])
  })

  it('end when the protocol stops, once their calls have ended', async () => {
    const stream = await streams.open(connection, share, ANY)
    streams.stop()
    assert.equal(peer.streams[0]?.status, 'open')
    assert.equal(await ask(stream), 'hello')
    const { promise, resolve } = Promise.withResolvers<Error | undefined>()
    peer.streams[0]?.addEventListener('close', ({ error }) => resolve(error))
    assert.equal(await promise, undefined)
  })
})
