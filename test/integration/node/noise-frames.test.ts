import assert from 'node:assert/strict'
import { once } from 'node:events'
import { yamux } from '@chainsafe/libp2p-yamux'
import type { ConnectionEncrypter, Libp2p, MessageStream, Stream } from '@libp2p/interface'
import { type NoiseComponents, noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { noiseForAllKeys } from '../../../src/node/adapters/noise-handshake.ts'
import { someBytes } from '../../support/streams.ts'

type Encrypter = (components: NoiseComponents) => ConnectionEncrypter<unknown>
type Sent = Parameters<MessageStream['send']>[0]

const PROTOCOL = '/test/frames/1.0.0'
/** Around the sizes from which OpenSSL encrypts, and from which a message has two frames. Yamux puts 12 bytes before each. */
const SIZES = [1, 1_187, 1_188, 1_189, 65_506, 65_507, 65_508, 200_000]

const own: Encrypter = noiseForAllKeys()
const plain: Encrypter = noise()

/** @param send in place of what the connection below Noise does with bytes */
function below(encrypter: Encrypter, send: (data: Sent, pass: (data: Sent) => boolean) => boolean): Encrypter {
  const watch = (connection: MessageStream): MessageStream => {
    const pass = connection.send.bind(connection)
    connection.send = (data) => send(data, pass)
    return connection
  }
  return (components) => {
    const inner = encrypter(components)
    return {
      protocol: inner.protocol,
      secureOutbound: async (connection, options) => inner.secureOutbound(watch(connection), options),
      secureInbound: async (connection, options) => inner.secureInbound(watch(connection), options),
    }
  }
}

async function receive(stream: Stream, size: number): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for (let received = 0; received < size; ) {
    const [{ data }] = await once(stream, 'message')
    parts.push(data.subarray())
    received += data.byteLength
  }
  return Buffer.concat(parts)
}

describe('frames of Noise', () => {
  const nodes: Libp2p[] = []

  async function node(encrypter: Encrypter): Promise<Libp2p> {
    const made = await createLibp2p({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [encrypter],
      streamMuxers: [yamux()],
    })
    nodes.push(made)
    return made
  }

  /** Both ends of a stream between two nodes. */
  async function connect(near: Encrypter, far: Encrypter): Promise<[Stream, Stream]> {
    const [client, server] = [await node(near), await node(far)]
    const { promise, resolve } = Promise.withResolvers<Stream>()
    await server.handle(PROTOCOL, resolve)
    const sender = await client.dialProtocol(server.getMultiaddrs(), PROTOCOL)
    return [sender, await promise]
  }

  afterEach(async () => {
    await Promise.all(nodes.splice(0).map(async (made) => made.stop()))
  })

  for (const [name, far] of Object.entries({ itself: own, 'Noise as it comes': plain })) {
    it(`bring messages of any size to and from ${name}`, async () => {
      const [near, other] = await connect(own, far)
      for (const [from, to] of [
        [near, other],
        [other, near],
      ] as const) {
        for (const size of SIZES) {
          const bytes = someBytes(size)
          const received = receive(to, size)
          from.send(bytes)
          assert.deepEqual(await received, Buffer.from(bytes), `${size} bytes`)
        }
      }
    })
  }

  it('leave in one write, of whatever size, where Noise by itself has one for each length, part and tag', async () => {
    const writesOf = async (encrypter: Encrypter): Promise<number[]> => {
      let writes = 0
      const count = below(encrypter, (data, pass) => {
        writes += data instanceof Uint8Array ? 1 : [...data].length
        return pass(data)
      })
      const [sender, reader] = await connect(count, plain)
      const counts: number[] = []
      for (const size of [64, 60_000, 200_000]) {
        const before = writes
        const received = receive(reader, size)
        sender.send(someBytes(size))
        counts.push(writes - before)
        await received
      }
      return counts
    }
    assert.deepEqual(await writesOf(own), [1, 1, 1])
    assert.ok((await writesOf(plain)).every((writes) => writes > 1))
  })

  it('are read without an exception, where Noise by itself has one for each that comes', async () => {
    const exceptionsOf = async (encrypter: Encrypter): Promise<number> => {
      const [sender, reader] = await connect(encrypter, encrypter)
      const made = globalThis.RangeError
      let exceptions = 0
      const count = (): RangeError => {
        exceptions++
        return made('counted')
      }
      globalThis.RangeError = new Proxy(made, { apply: count, construct: count })
      try {
        for (let messages = 0; messages < 10; messages++) {
          const received = receive(reader, 64)
          sender.send(someBytes(64))
          await received
        }
      } finally {
        globalThis.RangeError = made
      }
      return exceptions
    }
    assert.equal(await exceptionsOf(own), 0)
    assert.ok((await exceptionsOf(plain)) >= 10)
  })

  for (const size of [64, 60_000]) {
    it(`end the connection where one of their ${size} bytes was changed on the way`, async () => {
      let changing = false
      const change = below(own, (data, pass) => {
        const bytes = Buffer.from(data.subarray())
        if (changing) {
          bytes[size / 2] = (bytes[size / 2] ?? 0) ^ 1
        }
        return pass(bytes)
      })
      const [sender, reader] = await connect(change, own)
      const messages: unknown[] = []
      reader.addEventListener('message', ({ data }) => messages.push(data))
      const closed = once(reader, 'close')
      changing = true
      sender.send(someBytes(size))
      await closed
      assert.deepEqual(messages, [])
    })
  }
})
