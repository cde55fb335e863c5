import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { Worker } from 'node:worker_threads'
import { mplex } from '@libp2p/mplex'
import { tls } from '@libp2p/tls'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { DialError } from '../../../src/node/dial/dial-failure.ts'
import { Dialler } from '../../../src/node/dial/dialler.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { ResolveError } from '../../../src/resolve/errors.ts'
import { newPeer } from '../../support/keys.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { EcdsaIdentity, OtherStacks } from '../../support/other-stacks.ts'

const HEADER = Buffer.from('\x13/multistream/1.0.0\n')
const NOISE = Buffer.from('\x07/noise\n')

/** Servers of other kinds on loopback, gone after the test. */
class Services {
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()

  /** @returns the address, as that of this peer */
  async listen(server: Server, peerId: string): Promise<Multiaddr> {
    this.#servers.push(server)
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return multiaddr(`/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}/p2p/${peerId}`)
  }

  close(): void {
    for (const server of this.#servers.splice(0)) {
      server.close()
    }
    for (const socket of this.#sockets) {
      socket.destroy()
    }
    this.#sockets.clear()
  }
}

describe('a dial that fails', () => {
  const stacks = new OtherStacks()
  const services = new Services()
  const lab = new Lab()
  let dialler: Dialler
  let peerId: string

  before(async () => {
    dialler = new Dialler((await stacks.ours()).services.dial, { connectTimeoutMs: 500, handshake: { times: 0, minMs: 500, maxMs: 500 } })
    peerId = (await newPeer()).peerId.toString()
  })

  afterEach(() => services.close())

  after(async () => {
    await stacks.stop()
    await lab.clean()
  })

  async function failureOf(...addresses: Multiaddr[]): Promise<DialError> {
    try {
      await dialler.dial(addresses)
    } catch (error) {
      assert.ok(error instanceof DialError)
      return error
    }
    throw new assert.AssertionError({ message: 'a connection' })
  }

  for (const [type, expected] of [
    ['ed25519', async () => peerId],
    ['secp256k1', async () => (await newPeer('secp256k1')).peerId.toString()],
    ['rsa', async () => (await newPeer('RSA')).peerId.toString()],
    ['ECDSA', async () => new EcdsaIdentity('P-256').peerId],
  ] as const) {
    it(`says which peer answers where another one is expected: ${type}`, async () => {
      const other = await stacks.start()
      const wanted = await expected()
      const error = await failureOf(stacks.addressOf(other, wanted))
      assert.ok(error.message.endsWith(`: another peer answers there: ${other.peerId.toString()}, not ${wanted}`), error.message)
      assert.match(error.hint ?? '', /belongs to another peer: use the peer ID that answered/)
    })
  }

  it('says that a peer refuses the security protocol of this node', async () => {
    const other = await stacks.start({ connectionEncrypters: [tls()] })
    const error = await failureOf(stacks.addressOf(other))
    assert.match(error.message, /: the peer refused \/noise and \/pos-transport\/1\.0\.0: this node offers no other security protocol$/)
    assert.match(error.hint ?? '', /^the peer runs.*enable Noise there, as \/noise or \/pos-transport\/1\.0\.0$/)
  })

  it('says which stream multiplexers a peer offers where this node has none of them', async () => {
    const other = await stacks.start({ streamMuxers: [mplex()] })
    const error = await failureOf(stacks.addressOf(other))
    assert.match(error.message, /: no common stream multiplexer: the peer offers \/mplex\/6\.7\.0, this node \/yamux\/1\.0\.0$/)
    assert.match(error.hint ?? '', /^the peer runs.*enable \/yamux\/1\.0\.0 there$/)
  })

  it('says that a peer refuses the stream multiplexer, where that is negotiated after the handshake', async () => {
    const other = await stacks.start({ streamMuxers: [mplex()], connectionEncrypters: [stacks.noiseWithoutMuxers()] })
    const error = await failureOf(stacks.addressOf(other))
    assert.match(error.message, /: the peer refused \/yamux\/1\.0\.0: this node has no other stream multiplexer$/)
    assert.match(error.hint ?? '', /enable \/yamux\/1\.0\.0 there$/)
  })

  const others: Array<[title: string, make: () => Server, says: RegExp, hint: RegExp]> = [
    [
      'an HTTP server',
      () => createHttpServer((_, response) => response.end()),
      /an HTTP server answers there, not a libp2p peer$/,
      /another service.*port right/,
    ],
    ['a TLS server', () => createTlsServer(), /(a TLS server answers there, not a libp2p peer|without an answer)$/, /another service/],
    [
      'a TLS server that sends an alert',
      () => createServer((socket) => socket.write(Buffer.from('15030100020246', 'hex'))),
      /a TLS server answers there/,
      /another service/,
    ],
    [
      'an SSH server',
      () => createServer((socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n')),
      /an SSH server answers there/,
      /another service/,
    ],
    [
      'a server that greets',
      () => createServer((socket) => socket.write('+OK ready\r\n')),
      /another service answers there/,
      /another service/,
    ],
    [
      'a server that only listens',
      () => createServer(),
      /connected, but nothing was received: no answer within 500 ms$/,
      /says nothing: is the port right/,
    ],
    [
      'a server that hangs up',
      () => createServer((socket) => socket.end()),
      /ended the connection without an answer$/,
      /ends the connection/,
    ],
    [
      'a peer that stops',
      () => createServer((socket) => socket.write(HEADER)),
      /did not continue the handshake: no answer within 500 ms$/,
      /answers, but not in time/,
    ],
    [
      'a peer that hangs up',
      () => createServer((socket) => socket.end(Buffer.concat([HEADER, NOISE]))),
      /ended the connection during the handshake$/,
      /ends the connection/,
    ],
    [
      'a handshake that is garbage',
      () => createServer((socket) => socket.write(Buffer.concat([HEADER, NOISE, Buffer.from([0, 100]), Buffer.alloc(100, 7)]))),
      /the peer's handshake could not be read$/,
      /not like a libp2p peer with Noise/,
    ],
  ]
  for (const [title, make, says, hint] of others) {
    it(`says what answers: ${title}`, async () => {
      const error = await failureOf(await services.listen(make(), peerId))
      assert.match(error.message, says)
      assert.match(error.hint ?? '', hint)
    })
  }

  it('says that an HTTP server answers, each time, also where the server is faster than the dial', async () => {
    // in a thread of its own it reads the first bytes while the next are written
    const program = `
      const { parentPort } = require('node:worker_threads')
      const server = require('node:http').createServer()
      server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))`
    const worker = new Worker(program, { eval: true })
    try {
      const [port] = await once(worker, 'message')
      for (let dials = 0; dials < 20; dials++) {
        const error = await failureOf(multiaddr(`/ip4/127.0.0.1/tcp/${port}/p2p/${peerId}`))
        assert.match(error.message, /an HTTP server answers there/)
      }
    } finally {
      await worker.terminate()
    }
  })

  it('says that nobody listens, and that no transport dials an address', async () => {
    const refused = await failureOf(multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${peerId}`))
    assert.match(refused.message, /ECONNREFUSED/)
    assert.equal(refused.hint, undefined)
    const unsupported = await failureOf(multiaddr(`/ip4/127.0.0.1/udp/1/webrtc-direct/p2p/${peerId}`))
    assert.match(unsupported.message, /no transport of this node dials this address$/)
    assert.match(unsupported.hint ?? '', /^use an address like/)
  })

  it('names every address with its own reason, and hints at the most telling one', async () => {
    const http = await services.listen(createHttpServer(), peerId)
    const other = stacks.addressOf(await stacks.start(), peerId)
    const error = await failureOf(multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${peerId}`), http, other)
    assert.match(error.message, /ECONNREFUSED.*; .*an HTTP server answers.*; .*another peer answers/)
    assert.match(error.hint ?? '', /belongs to another peer/)
  })

  it('never is a connection: a task for a peer with a hashed ID does not go to another peer', async () => {
    const [node, other] = [await lab.node(), await lab.node()]
    const { peerId: expected } = await newPeer('RSA')
    const address = multiaddr(addressOf(other)).decapsulate('/p2p').encapsulate(`/p2p/${expected.toString()}`)
    await assert.rejects(node.tasks.sendTask(address, 'a', new Uint8Array(1)), (error) => {
      assert.ok(error instanceof ProtocolError)
      assert.deepEqual([error.code, error.mayHaveActed], ['UNREACHABLE', false])
      assert.ok(error.message.includes(`another peer answers there: ${other.peerId.toString()}`))
      assert.match(error.hint ?? '', /belongs to another peer/)
      return true
    })
  })

  it('has the same hint where the addresses came from a tier', async () => {
    const other = await lab.node()
    const ledger = `ledger:${await lab.folder()}/ledger.db`
    const gone = await lab.idle({ settings: { chain: ledger } })
    const address = multiaddr(addressOf(other)).decapsulate('/p2p').encapsulate(`/p2p/${gone.peerId.toString()}`)
    await gone.registry.publish([address])
    const asking = await lab.idle({ settings: { chain: ledger } })
    await asking.start()
    await assert.rejects(asking.tasks.sendTask(gone.peerId, 'a', new Uint8Array(1)), (error) => {
      assert.ok(error instanceof ResolveError)
      assert.equal(error.code, 'UNREACHABLE')
      assert.match(error.hint ?? '', /belongs to another peer/)
      return true
    })
  })
})
