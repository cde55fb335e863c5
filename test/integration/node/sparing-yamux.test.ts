import assert from 'node:assert/strict'
import { once } from 'node:events'
import { yamux } from '@chainsafe/libp2p-yamux'
import type { Libp2p, Stream, StreamMuxerFactory } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { sparing } from '../../../src/node/adapters/sparing-yamux.ts'
import { someBytes } from '../../support/streams.ts'

const PROTOCOL = '/test/window/1.0.0'
const WINDOW_BYTES = 256 * 1024
const MAX_WINDOW_BYTES = 1 << 20
const plain = yamux({ streamOptions: { maxStreamWindowSize: MAX_WINDOW_BYTES } })

/** Counts what its muxers send: data, windows, everything. */
class Counted {
  frames = 0
  readonly muxer: () => StreamMuxerFactory

  constructor(inner: typeof plain) {
    this.muxer = () => {
      const factory = inner()
      return {
        protocol: factory.protocol,
        createStreamMuxer: (connection) => {
          const send = connection.send.bind(connection)
          connection.send = (data) => {
            this.frames++
            return send(data)
          }
          return factory.createStreamMuxer(connection)
        },
      }
    }
  }
}

describe('yamux that spares window updates', () => {
  const nodes: Libp2p[] = []

  async function node(muxer: () => StreamMuxerFactory): Promise<Libp2p> {
    const made = await createLibp2p({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [muxer],
    })
    nodes.push(made)
    return made
  }

  /** A stream between two nodes, both ends of it. */
  async function connect(near: () => StreamMuxerFactory, far: () => StreamMuxerFactory): Promise<{ sender: Stream; reader: Stream }> {
    const [client, server] = [await node(near), await node(far)]
    const { promise, resolve } = Promise.withResolvers<Stream>()
    await server.handle(PROTOCOL, resolve)
    const sender = await client.dialProtocol(server.getMultiaddrs(), PROTOCOL)
    return { sender, reader: await promise }
  }

  afterEach(async () => {
    await Promise.all(nodes.splice(0).map(async (made) => made.stop()))
  })

  it('sends one frame for a small message, where yamux by itself sends two for each that comes', async () => {
    const messages = 500
    const counts: number[] = []
    for (const inner of [plain, sparing(plain)]) {
      const [near, far] = [new Counted(inner), new Counted(inner)]
      const { sender, reader } = await connect(near.muxer, far.muxer)
      reader.addEventListener('message', ({ data }) => reader.send(data))
      for (let i = 0; i < messages; i++) {
        const answered = once(sender, 'message')
        sender.send(someBytes(64))
        await answered
      }
      counts.push(near.frames, far.frames)
    }
    const [nearPlain = 0, farPlain = 0, nearSparing = 0, farSparing = 0] = counts
    assert.ok(nearPlain >= 2 * messages && farPlain >= 2 * messages, `${nearPlain} and ${farPlain} frames without`)
    // those that open the connection and the stream come on top
    assert.ok(nearSparing < messages + 30 && farSparing < messages + 30, `${nearSparing} and ${farSparing} frames`)
  })

  for (const [name, near, far] of [
    ['both sides', sparing(plain), sparing(plain)],
    ['the reader', plain, sparing(plain)],
    ['the sender', sparing(plain), plain],
  ] as const) {
    it(`carries more than a window, in pieces of all sizes, to a reader that pauses at every turn: ${name}`, async () => {
      const { sender, reader } = await connect(near, far)
      // around what is updated after, and what a window holds
      const sizes = [1, 12, 65_536, 131_071, 131_072, 131_073, 262_131, 262_132, WINDOW_BYTES, 1_000_000, 3_000_000]
      const whole = someBytes(sizes.reduce((sum, size) => sum + size, 0))
      const received: Uint8Array[] = []
      const done = Promise.withResolvers<void>()
      let missing = whole.byteLength
      reader.addEventListener('message', ({ data }) => {
        received.push(data.subarray())
        missing -= data.byteLength
        if (missing === 0) {
          done.resolve()
          return
        }
        reader.pause()
        setImmediate(() => reader.resume())
      })
      let at = 0
      for (const size of sizes) {
        if (!sender.send(whole.subarray(at, at + size))) {
          await once(sender, 'drain')
        }
        at += size
      }
      await done.promise
      assert.ok(Buffer.concat(received).equals(whole))
    })
  }

  it('holds back a sender whose reader pauses: no more than a window comes', async () => {
    const { sender, reader } = await connect(sparing(plain), sparing(plain))
    const first = once(reader, 'message')
    reader.addEventListener('message', () => reader.pause(), { once: true })
    sender.send(someBytes(64))
    await first
    sender.send(someBytes(4 * MAX_WINDOW_BYTES))
    // another stream on the same connection gets through, so what could come has come
    const [connection] = nodes[0]?.getConnections() ?? []
    const other = await connection?.newStream('/ipfs/none').catch(() => 'refused')
    assert.equal(other, 'refused')
    assert.ok(reader.readBufferLength <= MAX_WINDOW_BYTES, `${reader.readBufferLength} bytes wait at the reader`)
    assert.ok(sender.writeBufferLength >= 3 * MAX_WINDOW_BYTES, `${sender.writeBufferLength} bytes wait at the sender`)
  })
})
