import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { type AutoNATv2Components, autoNATv2 } from '@libp2p/autonat-v2'
import { identify } from '@libp2p/identify'
import type { Connection, PrivateKey } from '@libp2p/interface'
import type { AddressManager, Registrar } from '@libp2p/interface-internal'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { explainingTcp } from '../../../src/node/adapters/tcp-dial.ts'
import { UNBOUNDED } from '../../../src/node/dial/dial-budget.ts'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import { DIAL_REQUEST_PROTOCOL_ID } from '../../../src/node/reachability/autonat-stream.ts'
import { dialBack } from '../../../src/node/reachability/back-dialler.ts'
import { DialBackServer, type DialBackServerInit, type DialledBack } from '../../../src/node/reachability/dial-back-server.ts'
import { type DialBackAnswer, DialRequests } from '../../../src/node/reachability/dial-requests.ts'
import { newPeer } from '../../support/keys.ts'
import { OtherStacks } from '../../support/other-stacks.ts'

/** A public address, which is dialled on loopback only. */
const PUBLIC = '45.79.0.1'

type Stack = Awaited<ReturnType<OtherStacks['start']>>

describe('a dial back, as AutoNAT v2 has it', function () {
  this.timeout(30_000)
  const stacks = new OtherStacks()
  const parts: Array<{ stop(): void }> = []

  afterEach(async () => {
    for (const part of parts.splice(0)) {
      part.stop()
    }
    await stacks.stop()
  })

  /** A peer that asks. */
  async function asker(): Promise<{ stack: Stack; requests: DialRequests }> {
    const stack = await stacks.start()
    const requests = new DialRequests({ handle: stack.handle.bind(stack) })
    await requests.start()
    return { stack, requests }
  }

  /** A peer that dials back, and what came of each dial. */
  async function server(init: Partial<DialBackServerInit> = {}): Promise<{ stack: Stack; dials: Array<[Multiaddr, DialledBack]> }> {
    const { privateKey } = await newPeer()
    const stack = await stacks.start({ privateKey })
    const policy = new DialPolicy()
    const dials: Array<[Multiaddr, DialledBack]> = []
    const dial: DialBackServerInit['dial'] = async (address, nonce, signal) => {
      const came = await reallyDial(privateKey, policy, address, nonce, signal)
      dials.push([address, came])
      return came
    }
    const registrar = { handle: stack.handle.bind(stack) }
    const served = new DialBackServer({ registrar, policy, dial, isOfSubnet: async () => true, ...init })
    await served.start()
    parts.push(served)
    return { stack, dials }
  }

  async function ask(from: { stack: Stack; requests: DialRequests }, to: Stack, address: Multiaddr | string): Promise<DialBackAnswer> {
    const [known = from.stack.getConnections(to.peerId)[0]] = from.stack.getConnections(to.peerId)
    const connection = known ?? (await from.stack.dial(stacks.addressOf(to)))
    return from.requests.ask(connection, withoutPeer(multiaddr(address.toString())), AbortSignal.timeout(20_000))
  }

  it('is the proof that an address is reached', async () => {
    const [from, { stack, dials }] = [await asker(), await server()]
    assert.deepEqual(await ask(from, stack, stacks.addressOf(from.stack)), { outcome: 'reached', detail: '' })
    assert.equal(dials.length, 1)
  })

  it('comes on a connection that the node of the server does not see', async () => {
    const [from, { stack }] = [await asker(), await server()]
    await ask(from, stack, stacks.addressOf(from.stack))
    assert.equal(stack.getConnections().length, 1)
  })

  it('fails where nobody listens', async () => {
    const [from, { stack }] = [await asker(), await server()]
    assert.equal((await ask(from, stack, `/ip4/127.0.0.1/tcp/${await closedPort()}`)).outcome, 'failed')
  })

  it('fails where another peer listens', async () => {
    const [from, other, { stack }] = [await asker(), await stacks.start(), await server()]
    assert.equal((await ask(from, stack, withoutPeer(stacks.addressOf(other)))).outcome, 'failed')
  })

  it('costs the requester 30 to 100 KB where the address is of another host', async () => {
    let paidBytes = 0
    const from = await asker()
    const { stack } = await server({ dial: async () => 'failed' })
    const connection = await from.stack.dial(stacks.addressOf(stack))
    const newStream = connection.newStream.bind(connection)
    connection.newStream = async (...args) => {
      const stream = await newStream(...args)
      const send = stream.send.bind(stream)
      stream.send = (data) => {
        paidBytes += data.byteLength
        return send(data)
      }
      return stream
    }
    assert.equal((await ask(from, stack, `/ip4/${PUBLIC}/tcp/4001`)).outcome, 'failed')
    assert.ok(paidBytes > 30_000 && paidBytes < 103_000, `${paidBytes} bytes`)
  })

  for (const address of [
    '/ip4/127.0.0.2/tcp/4001',
    '/ip4/192.168.1.1/tcp/80',
    '/ip4/169.254.169.254/tcp/80',
    '/ip4/0.0.0.0/tcp/4001',
    '/ip6/::1/tcp/4001',
    '/dns4/localhost/tcp/4001',
    '/unix/%2Frun%2Fa.sock',
    `/ip4/${PUBLIC}/tcp/4001/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb/p2p-circuit`,
  ]) {
    it(`is not made to ${address}, which is no public address and not the host of the requester`, async () => {
      const [from, { stack, dials }] = [await asker(), await server({ policy: new DialPolicy({ allowPrivate: true }) })]
      const answer = await ask(from, stack, address)
      assert.deepEqual(answer, { outcome: 'declined', detail: 'the peer did not try: E_DIAL_REFUSED' })
      assert.deepEqual(dials, [])
    })
  }

  it('is not made for a peer of another subnet', async () => {
    const [from, { stack, dials }] = [await asker(), await server({ isOfSubnet: async () => false })]
    const answer = await ask(from, stack, stacks.addressOf(from.stack))
    assert.deepEqual([answer.outcome, dials], ['declined', []])
  })

  it('is made 12 times for one peer, then once in 5 s', async () => {
    let nowMs = 0
    const [from, { stack }] = [await asker(), await server({ dial: async () => 'failed', now: () => nowMs })]
    const outcomes: string[] = []
    for (let count = 0; count < 13; count++) {
      outcomes.push((await ask(from, stack, stacks.addressOf(from.stack))).outcome)
    }
    assert.deepEqual(outcomes, [...Array<string>(12).fill('failed'), 'declined'])
    nowMs += 5_000
    assert.equal((await ask(from, stack, stacks.addressOf(from.stack))).outcome, 'failed')
  })

  it('is made one at a time for one peer', async () => {
    const dialling = Promise.withResolvers<void>()
    const end = Promise.withResolvers<DialledBack>()
    const dial = async (): Promise<DialledBack> => {
      dialling.resolve()
      return end.promise
    }
    const [from, { stack }] = [await asker(), await server({ dial })]
    const first = ask(from, stack, stacks.addressOf(from.stack))
    await dialling.promise
    assert.equal((await ask(from, stack, stacks.addressOf(from.stack))).outcome, 'declined')
    end.resolve('failed')
    assert.equal((await first).outcome, 'failed')
  })

  it('is not believed without its proof', async () => {
    const [from, { stack }] = [await asker(), await server({ dial: async () => 'reached' })]
    assert.equal((await ask(from, stack, stacks.addressOf(from.stack))).outcome, 'declined')
  })

  it('is refused by a peer that did not ask for it', async () => {
    const { stack } = await asker()
    const { privateKey } = await newPeer()
    const came = await reallyDial(
      privateKey,
      new DialPolicy({ allowPrivate: true }),
      stacks.addressOf(stack),
      7n,
      AbortSignal.timeout(9_000),
    )
    assert.equal(came, 'no proof taken')
  })

  it('of the server of @libp2p/autonat-v2 is taken, for its pay', async () => {
    const from = await asker()
    const stack = await stacks.start({
      services: { identify: identify(), autonat: (components) => autoNATv2()(onLoopback(components as unknown as AutoNATv2Components)) },
    })
    const port = stacks.addressOf(from.stack).getComponents()[1]?.value
    assert.deepEqual(await ask(from, stack, `/ip4/${PUBLIC}/tcp/${port}`), { outcome: 'reached', detail: '' })
    assert.equal((await ask(from, stack, `/ip4/${PUBLIC}/tcp/${await closedPort()}`)).outcome, 'failed')
    assert.equal((await ask(from, stack, stacks.addressOf(from.stack))).outcome, 'declined', 'it dials no loopback address')
  })

  it('is what the client of @libp2p/autonat-v2 asks for, pays for and takes', async () => {
    const { privateKey } = await newPeer()
    const came = Promise.withResolvers<[string, DialledBack]>()
    const { stack } = await server({
      dial: async (address, nonce, signal) => {
        const answer = await reallyDial(privateKey, new DialPolicy({ allowPrivate: true }), loopback(address), nonce, signal)
        came.resolve([withoutPeer(address).toString(), answer])
        return answer
      },
    })
    await stacks.start()
    const client = await stacks.start({
      services: {
        identify: identify(),
        autonat: (components) => autoNATv2()(components as unknown as AutoNATv2Components),
        own: ({ addressManager, registrar }: { addressManager: AddressManager; registrar: Registrar }) => ({ addressManager, registrar }),
      },
    })
    const { addressManager, registrar } = client.services.own as { addressManager: AddressManager; registrar: Registrar }
    const address = `/ip4/${PUBLIC}/tcp/${stacks.addressOf(client).getComponents()[1]?.value}`
    addressManager.addObservedAddr(multiaddr(address))
    const connection = await client.dial(stacks.addressOf(stack))
    // the bare stack does not tell its protocols with identify: what it would lead to
    for (const { onConnect } of registrar.getTopologies(DIAL_REQUEST_PROTOCOL_ID)) {
      await client.peerStore.merge(stack.peerId, {})
      onConnect?.(stack.peerId, connection as Connection)
    }
    assert.deepEqual(await came.promise, [address, 'reached'])
  })
})

async function reallyDial(
  privateKey: PrivateKey,
  policy: DialPolicy,
  address: Multiaddr,
  nonce: bigint,
  signal: AbortSignal,
): Promise<DialledBack> {
  return dialBack({ privateKey, transports: [explainingTcp({ policy, background: UNBOUNDED })] }, address, nonce, signal)
}

/** The parts of a stack, whose dials to the public address end on loopback. */
function onLoopback(components: AutoNATv2Components): AutoNATv2Components {
  const { connectionManager } = components
  const redirected = new Proxy(connectionManager, {
    get: (own, name) =>
      name === 'openConnection'
        ? async (address: Multiaddr, options: object) => own.openConnection(loopback(address), options)
        : Reflect.get(own, name),
  })
  return new Proxy(components, { get: (own, name) => (name === 'connectionManager' ? redirected : Reflect.get(own, name)) })
}

function loopback(address: Multiaddr): Multiaddr {
  return multiaddr(address.toString().replace(PUBLIC, '127.0.0.1'))
}

function withoutPeer(address: Multiaddr): Multiaddr {
  return address.getComponents().at(-1)?.code === CODE_P2P ? address.decapsulateCode(CODE_P2P) : address
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const held = createServer().listen(0, '127.0.0.1')
  await once(held, 'listening')
  const address = held.address()
  held.close()
  await once(held, 'close')
  return typeof address === 'object' && address != null ? address.port : 0
}
