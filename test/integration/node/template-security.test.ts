import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { identify } from '@libp2p/identify'
import type { ConnectionEncrypter } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { tls } from '@libp2p/tls'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import type { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { HangsUp } from '../../support/hangs-up.ts'
import { newPeer } from '../../support/keys.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { OtherStacks } from '../../support/other-stacks.ts'
import { TEMPLATE_SECURITY, type TemplatePeer, templatePeer } from '../../support/template-peer.ts'

/** A security protocol that is offered, and never run. */
function named(protocol: string): ConnectionEncrypter {
  const never = async (): Promise<never> => Promise.reject(new Error('never'))
  return { protocol, secureInbound: never, secureOutbound: never }
}

const ECHO = '/test/echo/1.0.0'
const TASKS = '/subnet/task_protocol/1.0.0'
/** A TaskRequest, or a TaskResponse that accepts: `{task_id: "t", payload: "hello"}`, `{accepted: true, result: "hello"}`. */
const REQUEST = Buffer.from('0a0174120568656c6c6f', 'hex')
const RESPONSE = Buffer.from('0801120568656c6c6f', 'hex')

describe('a peer that is secured as the template is', () => {
  const lab = new Lab()
  const stacks = new OtherStacks()

  afterEach(async () => {
    await lab.clean()
    await stacks.stop()
  })

  async function echoing(node: SubnetNode, options: Parameters<typeof templatePeer>[1] = {}): Promise<TemplatePeer> {
    const peer = await templatePeer(stacks, { services: { identify: identify(), ping: ping() }, ...options })
    await peer.stack.handle([ECHO, TASKS], async (stream) => {
      const frames = lpStream(stream)
      await frames.read()
      await frames.write(RESPONSE)
      await stream.close()
    })
    assert.notEqual(peer.stack.peerId.toString(), node.peerId.toString())
    return peer
  }

  function isRefusal(error: ProtocolError): boolean {
    assert.equal(error.code, 'NOT_ADMITTED', error.message)
    assert.match(error.message, /did not admit this node: it ended the connection right after the handshake/)
    assert.match(error.hint ?? '', /registered on its chain.*"subnet id".*"subnet chain lookup/)
    return true
  }

  it('is called, pinged and identified, and calls us', async () => {
    const node = await lab.node({ handler: ({ payload }) => payload })
    const peer = await echoing(node)
    const { accepted, result } = await node.tasks.sendTask(peer.address, 't', Buffer.from('hello'))
    assert.deepEqual([accepted, Buffer.from(result).toString()], [true, 'hello'])
    assert.equal((await node.ping(multiaddr(peer.address))).reached.connection.encryption, TEMPLATE_SECURITY)
    assert.ok((await node.protocolsOf(peer.stack.peerId)).includes(ECHO))
    assert.equal(node.connections[0]?.encryption, TEMPLATE_SECURITY)

    const caller = await echoing(node)
    const stream = await caller.stack.dialProtocol(multiaddr(addressOf(node)), TASKS)
    const frames = lpStream(stream)
    await frames.write(REQUEST)
    assert.deepEqual(Buffer.from((await frames.read()).subarray()), RESPONSE)
  })

  it('and admits us only after a while is waited for', async () => {
    const node = await lab.node()
    const asked = Promise.withResolvers<void>()
    const verdict = Promise.withResolvers<boolean>()
    const peer = await echoing(node, {
      refuses: async () => {
        asked.resolve()
        return verdict.promise
      },
    })
    const task = node.tasks.sendTask(peer.address, 't', Buffer.from('hello'))
    await asked.promise
    verdict.resolve(false)
    assert.equal((await task).accepted, true)
  })

  it('is offered Noise after plain Noise, which is offered at once: a native peer pays no round trip', async () => {
    const node = await lab.node()
    const first = Promise.withResolvers<Buffer>()
    const listener = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', (bytes) => {
        first.resolve(bytes)
        socket.destroy()
      })
    })
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const address = `/ip4/127.0.0.1/tcp/${(listener.address() as AddressInfo).port}/p2p/${(await newPeer()).peerId.toString()}`
    await assert.rejects(node.connect(multiaddr(address)))
    listener.close()
    assert.equal((await first.promise).toString(), '\x13/multistream/1.0.0\n\x07/noise\n')
  })

  it('and sends something else after the handshake has not refused us', async () => {
    const node = await lab.node()
    const peer = await echoing(node, { afterHandshake: async ({ connection }) => connection.send(Buffer.from('\x05hello')) })
    await assert.rejects(node.tasks.sendTask(peer.address, 't', Buffer.from('hello')), (error: ProtocolError) => {
      assert.deepEqual([error.code, /did not admit/.test(error.message)], ['UNREACHABLE', false])
      return true
    })
  })

  it('is told of in the log where it dials us with security that this node does not have', async () => {
    const told = Promise.withResolvers<string>()
    const log = { debug: (message: string, cause?: unknown) => told.resolve(`${message}: ${String(cause)}`) }
    const ours = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'], log: { ...createLogger('silent', () => undefined), ...log } })
    const other = await stacks.start({ connectionEncrypters: [tls(), () => named('/secio/1.0.0'), () => named('/odd\u001b[31m/1.0.0')] })
    await assert.rejects(other.dial(stacks.addressOf(ours)))
    const line = await told.promise
    assert.match(
      line,
      /^a peer was not let in: .*the peer offers \/tls\/1\.0\.0, \/secio\/1\.0\.0, \/odd\[31m\/1\.0\.0, but this node accepts only \/noise/,
    )
  })

  describe('and cuts a call short', () => {
    async function cutting(node: SubnetNode, refusesThen: boolean): Promise<TemplatePeer> {
      let refused = false
      const peer = await templatePeer(stacks, { refuses: () => refused })
      await peer.stack.handle(TASKS, (_stream, connection) => {
        refused = refusesThen
        connection.abort(new Error('not on the chain any more'))
      })
      assert.notEqual(peer.stack.peerId.toString(), node.peerId.toString())
      return peer
    }

    it('is NOT_ADMITTED where it refuses the next connection, and may have acted', async () => {
      const node = await lab.node()
      const peer = await cutting(node, true)
      await assert.rejects(node.tasks.sendTask(peer.address, 't', Buffer.from('hello')), (error: ProtocolError) => {
        assert.match(error.message, /does not let this node in: .*right after the handshake; the peer may have acted on the request$/)
        assert.match(error.hint ?? '', /"subnet chain lookup/)
        assert.deepEqual([error.code, error.mayHaveActed], ['NOT_ADMITTED', true])
        return true
      })
      assert.equal(peer.handshakes(), 2, 'the call, and one that asks')
    })

    it('is asked once for all calls of that connection', async () => {
      const node = await lab.node()
      const peer = await cutting(node, true)
      await node.connect(multiaddr(peer.address))
      const calls = Array.from({ length: 8 }, async (_, index) => node.tasks.sendTask(peer.address, `t${index}`, Buffer.from('hello')))
      for (const outcome of await Promise.allSettled(calls)) {
        assert.equal(outcome.status === 'rejected' && outcome.reason.code, 'NOT_ADMITTED')
      }
      assert.ok(peer.handshakes() <= 3, `${peer.handshakes()} handshakes`)
    })

    it('has failed where it would let us in again', async () => {
      const node = await lab.node()
      const peer = await cutting(node, false)
      await assert.rejects(node.tasks.sendTask(peer.address, 't', Buffer.from('hello')), { code: 'REMOTE_FAILED' })
    })
  })

  describe('and does not admit us', () => {
    const refuses = (): boolean => true

    const ways: Array<[name: string, call: (node: SubnetNode, peer: TemplatePeer) => Promise<unknown>]> = [
      ['a task', async (node, { address }) => node.tasks.sendTask(address, 't', Buffer.from('hello'))],
      ['a ping', async (node, { address }) => node.ping(multiaddr(address))],
      ['connect', async (node, { address }) => node.connect(multiaddr(address))],
    ]
    for (const [name, call] of ways) {
      it(`is NOT_ADMITTED, after one handshake: ${name}`, async () => {
        const node = await lab.node()
        const peer = await echoing(node, { refuses })
        await assert.rejects(call(node, peer), isRefusal)
        assert.equal(peer.handshakes(), 1)
        assert.equal(node.connections.length, 0)
      })
    }

    it('is NOT_ADMITTED where another address of it is dead, and one that is silent is not waited for', async () => {
      const node = await lab.node()
      const peer = await echoing(node, { refuses })
      const closed = Promise.withResolvers<void>()
      const silent = createServer((socket) => {
        socket.on('error', () => undefined)
        socket.on('close', () => closed.resolve())
        socket.resume()
      })
      silent.listen(0, '127.0.0.1')
      await once(silent, 'listening')
      const at = (port: number): string => `/ip4/127.0.0.1/tcp/${port}/p2p/${peer.stack.peerId.toString()}`
      const addresses = [at(1), at((silent.address() as AddressInfo).port), peer.address].map((address) => multiaddr(address))
      await assert.rejects(node.tasks.sendTask(addresses, 't', Buffer.from('hello')), (error: ProtocolError) => {
        assert.doesNotMatch(error.message, /no answer within/)
        return isRefusal(error)
      })
      await closed.promise
      silent.close()
    })

    it('is called at another address, where somebody on the path of the first one only looks like it', async () => {
      const node = await lab.node()
      const { privateKey } = await newPeer()
      const cut = Promise.withResolvers<boolean>()
      const options = { privateKey }
      const cutter = await echoing(node, { ...options, refuses: () => true })
      const peer = await echoing(node, {
        ...options,
        refuses: async () => {
          await cut.promise
          return false
        },
      })
      const task = node.tasks.sendTask(
        [cutter.address, peer.address].map((address) => multiaddr(address)),
        't',
        Buffer.from('hello'),
      )
      // a second refusal is there only after the first
      await assert.rejects(node.ping(multiaddr(cutter.address)), isRefusal)
      cut.resolve(true)
      assert.equal((await task).accepted, true)
    })

    it('is NOT_ADMITTED in what a command is told that knows no other bootstrap', async () => {
      const node = await lab.idle({ settings: { bootstrap: [(await echoing(await lab.idle(), { refuses })).address] } })
      await node.start()
      const { peerId } = await newPeer()
      await assert.rejects(node.resolve(peerId), (error: ProtocolError) => isRefusal(error) && /nobody could be asked/.test(error.message))
    })

    it('is tried again less and less often, where it is a bootstrap, and told of', async () => {
      const dead = await HangsUp.listen()
      const peer = await echoing(await lab.idle(), { refuses })
      const node = await lab.node({ settings: { bootstrap: [peer.address, dead.address] } })
      await dead.tried(3)
      dead.close()
      assert.ok(peer.handshakes() <= 3, `${peer.handshakes()} handshakes, while another bootstrap was tried three times`)
      assert.equal(node.bootstrapRefusals.length, 1)
      assert.match(
        node.bootstrapRefusals[0] ?? '',
        /^bootstrap 12D3Koo.* did not admit this node.*; that network lets in peers that are registered/,
      )
    })

    it('is let go where it dials us', async () => {
      const node = await lab.node()
      const peer = await echoing(node, { refuses })
      await assert.rejects(peer.stack.dial(multiaddr(addressOf(node))))
      assert.equal(peer.handshakes(), 1)
      assert.equal(node.connections.length, 0)
    })
  })
})
