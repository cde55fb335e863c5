import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { type Connection, type Libp2p, type Stream, StreamResetError } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { quic } from '../../../src/node/adapters/quic/quic-transport.ts'
import { UNBOUNDED } from '../../../src/node/dial/dial-budget.ts'
import { DialFailure } from '../../../src/node/dial/dial-failure.ts'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import { eventually } from '../../support/protocol-host.ts'
import { bytesInUse } from '../../support/streams.ts'

const ID = '/test/quic/1.0.0'
const MIB = 1 << 20
const MANY = { maxInboundStreams: 1_024, maxOutboundStreams: 1_024 }

const guard = { policy: new DialPolicy({ allowPrivate: true }), background: UNBOUNDED }

describe('a connection over QUIC', function () {
  this.timeout(60_000)
  const stacks: Libp2p[] = []
  let client: Libp2p
  let server: Libp2p
  let connection: Connection

  async function stack(listen: string[] = ['/ip4/127.0.0.1/udp/0/quic-v1']): Promise<Libp2p> {
    const made = await createLibp2p({
      privateKey: await generateKeyPair('Ed25519'),
      addresses: { listen },
      transports: [quic(guard)],
      connectionMonitor: { enabled: false },
      connectionManager: { inboundConnectionThreshold: 1_000 },
    })
    stacks.push(made)
    return made
  }

  /** What the server does with a stream. */
  async function answering(handle: (stream: Stream) => void): Promise<void> {
    await server.handle(ID, handle, { ...MANY, force: true })
  }

  async function open(): Promise<{ mine: Stream; theirs: Stream }> {
    const theirs = Promise.withResolvers<Stream>()
    await answering((stream) => theirs.resolve(stream))
    const mine = await connection.newStream(ID, MANY)
    return { mine, theirs: await theirs.promise }
  }

  beforeEach(async () => {
    client = await stack([])
    server = await stack()
    connection = await client.dial(server.getMultiaddrs())
  })

  afterEach(async () => {
    await Promise.all(stacks.splice(0).map(async (made) => made.stop()))
  })

  it('holds the sender back while its reader pauses, and then brings all 64 MiB', async () => {
    const { mine, theirs } = await open()
    let received = 0
    theirs.addEventListener('message', ({ data }) => {
      received += data.byteLength
    })
    theirs.pause()
    const before = bytesInUse()
    const chunk = new Uint8Array(MIB)
    let sent = 0
    const sending = (async () => {
      while (sent < 64 * MIB) {
        sent += MIB
        if (!mine.send(chunk)) {
          await once(mine, 'drain')
        }
      }
      await mine.close()
    })()
    await standsStill(() => sent)
    // 1 MiB at the reader, and the send window of the binary
    assert.ok(sent < 24 * MIB, `${sent} bytes were sent`)
    assert.ok(bytesInUse() - before < 24 * MIB)
    assert.equal(theirs.status, 'open')
    theirs.resume()
    await sending
    await eventually(() => received === 64 * MIB, 'all has come', 30_000)
  })

  it('tells a reset of the other side as a reset, with its code, behind what came before it', async () => {
    const { mine, theirs } = await open()
    const heard: number[] = []
    mine.addEventListener('message', ({ data }) => heard.push(data.byteLength))
    const end = once(mine, 'close')
    theirs.send(new Uint8Array(1_000))
    theirs.abort(new Error('the test'))
    const [event] = (await end) as [{ error?: Error }]
    assert.equal(event.error?.name, StreamResetError.name)
    assert.equal(mine.status, 'reset')
    assert.deepEqual(heard, [1_000])
  })

  it('half-closes: an answer comes behind the end of the request', async () => {
    await answering((stream) => {
      const parts: Uint8Array[] = []
      stream.addEventListener('message', ({ data }) => parts.push(data.subarray()))
      stream.addEventListener('remoteCloseWrite', async () => {
        await eventually(() => stream.readBufferLength === 0, 'all is read')
        stream.send(Buffer.concat(parts))
        await stream.close()
      })
    })
    const stream = await connection.newStream(ID)
    const parts: Uint8Array[] = []
    stream.addEventListener('message', ({ data }) => parts.push(data.subarray()))
    const end = once(stream, 'close')
    stream.send(new Uint8Array(100_000).fill(7))
    await stream.close()
    await end
    assert.ok(Buffer.concat(parts).equals(Buffer.alloc(100_000, 7)))
  })

  it('brings what was sent before the connection was closed', async () => {
    const { mine, theirs } = await open()
    let received = 0
    mine.addEventListener('message', ({ data }) => {
      received += data.byteLength
    })
    theirs.send(new Uint8Array(500_000))
    await theirs.close()
    await server.stop()
    await eventually(() => received === 500_000, `all has come, not ${received} bytes`, 3_000)
  })

  it('has 512 streams each way, and refuses more at once; those that end make room', async () => {
    const opened: Stream[] = []
    await answering(() => undefined)
    for (let count = 0; count < 512; count++) {
      opened.push(await connection.newStream(ID, MANY))
    }
    await assert.rejects(connection.newStream(ID, MANY), { name: 'TooManyStreamsError', message: /limit of 512 streams/ })
    // the other side allows more once an eighth of them has ended
    for (const stream of opened.slice(0, 100)) {
      stream.abort(new Error('enough'))
    }
    assert.equal((await connection.newStream(ID, MANY)).status, 'open')
  })

  it('does not wait beyond its signal for the other side to allow a stream', async () => {
    await answering(() => undefined)
    const opened: Stream[] = []
    for (let count = 0; count < 512; count++) {
      opened.push(await connection.newStream(ID, MANY))
    }
    // this side has ended them, the other side has not: it hears of it later
    for (const stream of opened) {
      await stream.close()
      Object.assign(stream, { status: 'closed' })
    }
    connection.streams.splice(0)
    await assert.rejects(connection.newStream(ID, { ...MANY, signal: AbortSignal.timeout(200) }), { name: 'TimeoutError' })
  })

  it('ends a dial to where nobody answers with its signal', async () => {
    const silent = createSocket('udp4').bind(0, '127.0.0.1')
    await once(silent, 'listening')
    const started = performance.now()
    const signal = AbortSignal.timeout(300)
    await assert.rejects(client.dial(multiaddr(`/ip4/127.0.0.1/udp/${silent.address().port}/quic-v1`), { signal }))
    silent.close()
    assert.ok(performance.now() - started < 5_000, 'long before the 10 s that the binary takes')
  })

  it('is refused with the true ID where another peer answers', async () => {
    const other = await stack()
    const address = other.getMultiaddrs()[0]?.decapsulate('/p2p') ?? multiaddr('/')
    const dialled = client.dial(address.encapsulate(`/p2p/${(await stack()).peerId}`))
    await assert.rejects(dialled, (error: Error) => {
      assert.match(String(error.cause ?? error), new RegExp(`another peer answers there: ${other.peerId}`))
      return true
    })
  })

  it('comes about beside handshakes that others do not end', async () => {
    const [address] = server.getMultiaddrs()
    const port = Number(address?.getComponents().find(({ name }) => name === 'udp')?.value)
    const stalled = await stalledHandshakes(port, 8)
    try {
      const other = await stack([])
      const reached = await other.dial(server.getMultiaddrs(), { signal: AbortSignal.timeout(4_000) })
      assert.equal(reached.status, 'open')
      // a node is gone within 2 s, whatever the handshakes do
      await Promise.race([server.stop(), new Promise((_, reject) => setTimeout(() => reject(new Error('not within 2 s')), 2_000))])
    } finally {
      stalled()
    }
  })

  it('needs a binary: without one a dial is a DialFailure, and a listener an error that says so', async () => {
    const { NoQuicError } = await import('../../../src/node/adapters/quic/quic-binary.ts')
    const load = async (): Promise<never> => {
      throw new NoQuicError('QUIC needs a package')
    }
    const make = quic({ ...guard, load })
    const transport = make({ privateKey: await generateKeyPair('Ed25519'), logger: client.logger })
    const upgrader = { getConnectionEncrypters: () => new Map(), getStreamMuxers: () => new Map() } as never
    const address = multiaddr('/ip4/127.0.0.1/udp/1/quic-v1')
    await assert.rejects(transport.dial(address, { signal: AbortSignal.timeout(1_000), upgrader }), (error) => {
      assert.ok(error instanceof DialFailure)
      assert.equal(error.kind, 'no quic')
      return true
    })
    await assert.rejects(transport.createListener({ upgrader }).listen(address), /QUIC needs a package/)
  })
})

/** Waits until a count has not changed for a while. */
async function standsStill(count: () => number): Promise<void> {
  let last = -1
  await eventually(
    () => {
      const same = count() === last
      last = count()
      return same
    },
    'nothing goes on',
    10_000,
    300,
  )
}

/** Starts handshakes and takes no part in them any more: the first datagram of a client reaches the server, nothing of the server reaches the client. */
async function stalledHandshakes(port: number, count: number): Promise<() => void> {
  const { loadQuicBinary } = await import('../../../src/node/adapters/quic/quic-binary.ts')
  const { Client, QuinnConfig } = await loadQuicBinary()
  const { privateKeyToProtobuf } = await import('@libp2p/crypto/keys')
  const config = new QuinnConfig({
    privateKeyProto: privateKeyToProtobuf(await generateKeyPair('Ed25519')),
    handshakeTimeout: 10_000,
    maxIdleTimeout: 10_000,
    keepAliveInterval: 5_000,
    maxConcurrentStreamLimit: 1,
    maxStreamData: 1_000,
    maxConnectionData: 1_000,
    receiveBufferSize: 10_000,
    sendBufferSize: 10_000,
  })
  const client = new Client(config, 0)
  const oneWay = createSocket('udp4').bind(0, '127.0.0.1')
  await once(oneWay, 'listening')
  let passed = 0
  const waiting = Promise.withResolvers<void>()
  const outs = Array.from({ length: count }, () => createSocket('udp4'))
  oneWay.on('message', (datagram) => {
    const out = outs[passed++]
    out?.send(datagram, port, '127.0.0.1')
    if (passed === count) {
      waiting.resolve()
    }
  })
  for (let dial = 0; dial < count; dial++) {
    client.outboundConnection('127.0.0.1', oneWay.address().port).catch(() => undefined)
  }
  await waiting.promise
  return () => {
    client.abort()
    oneWay.close()
    for (const out of outs) {
      out.close()
    }
  }
}
