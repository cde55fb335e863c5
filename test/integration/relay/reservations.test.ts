import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import { peerIdOf } from '../../../src/primitives/address.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'
import { eventually } from '../../support/protocol-host.ts'

/** Nobody is there. */
const DEAD = '/ip4/127.0.0.1/tcp/1'

describe('a node that is not public', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const kadProtocol = `/test/${randomUUID()}/kad/1.0.0`

  afterEach(async () => lab.clean())

  async function relayOf(settings: object = {}): Promise<SubnetNode> {
    return lab.node({ settings: { relayService: 'on', kadProtocol, ...settings } })
  }

  async function hiddenBehind(...relays: SubnetNode[]): Promise<SubnetNode> {
    const node = await lab.idle({
      handler: async ({ taskId, payload }, { signal }) => {
        if (taskId === 'wait') {
          await once(signal, 'abort')
        }
        return payload.map((byte) => byte + 1)
      },
      settings: { listen: ['/ip4/127.0.0.1/tcp/0'], announce: [DEAD], bootstrap: relays.map(addressOf), kadProtocol },
    })
    const reached = event(node, 'addresses', ({ multiaddrs }) => relays.every((relay) => multiaddrs.some(isOver(relay))))
    await node.start()
    await reached
    return node
  }

  it('tells an address over a relay beside those that its user named, and is called there by its peer ID alone', async () => {
    const relay = await relayOf()
    const hidden = await hiddenBehind(relay)
    assert.deepEqual(hidden.multiaddrs.map(String), [
      `${DEAD}/p2p/${hidden.peerId.toString()}`,
      `${addressOf(relay)}/p2p-circuit/p2p/${hidden.peerId.toString()}`,
    ])
    const caller = await lab.node({ settings: { bootstrap: [addressOf(relay)], kadProtocol } })
    const { response, reached } = await send(caller, hidden)
    assert.deepEqual([...response], [2, 3])
    assert.equal(reached.remoteAddr.toString(), hidden.multiaddrs[1]?.toString())
    // the caller is not public either, and has a place of its own
    await eventually(() => relay.stats.relay?.reservations === 2, 'both have a place')
    assert.deepEqual(relay.stats.relay, { on: true, reservations: 2, circuits: 1 })
  })

  it('is called by a node that only asks', async () => {
    const relay = await relayOf()
    const hidden = await hiddenBehind(relay)
    const caller = await lab.idle({ settings: { bootstrap: [addressOf(relay)], kadProtocol } })
    await caller.start()
    assert.deepEqual([...(await send(caller, hidden)).response], [2, 3])
  })

  it('gets streamed payloads, and calls that share a stream, over the relay', async () => {
    const relay = await relayOf()
    const hidden = await hiddenBehind(relay)
    const caller = await lab.node({ settings: { bootstrap: [addressOf(relay)], kadProtocol } })
    const sizes = [1, 100, 10_000, 2 << 20]
    const results = await Promise.all(sizes.map(async (size) => caller.tasks.sendTask(hidden.peerId, 'one', new Uint8Array(size))))
    assert.deepEqual(
      results.map(({ result }) => [result.length, result.every((byte) => byte === 1)]),
      sizes.map((size) => [size, true]),
    )
  })

  it('says which limit of the relay ended a call, and that the peer may have acted', async () => {
    const relay = await relayOf({ relayBytes: 200_000 })
    const hidden = await hiddenBehind(relay)
    const caller = await lab.node({ settings: { bootstrap: [addressOf(relay)], kadProtocol } })
    const big = await caller.tasks.sendTask(hidden.peerId, 'one', new Uint8Array(300_000)).catch((cause: unknown) => cause)
    assert.ok(big instanceof ProtocolError, String(big))
    assert.equal(big.code, 'LIMIT_EXCEEDED')
    assert.ok(
      big.message.startsWith(
        `the relay ${addressOf(relay)} ended the connection: its limit for each connection is 200000 bytes, both ways together; `,
      ),
    )
    assert.match(big.hint ?? '', /relayBytes/)
    const answer = await caller.tasks.sendTask(hidden.peerId, 'two', new Uint8Array(120_000)).catch((cause: unknown) => cause)
    assert.ok(answer instanceof ProtocolError, String(answer))
    assert.deepEqual([answer.code, answer.mayHaveActed], ['LIMIT_EXCEEDED', true])
    // the next has a circuit of its own
    assert.equal((await caller.tasks.sendTask(hidden.peerId, 'three', new Uint8Array(100))).result.length, 100)
  })

  it('says that the relay gives a connection only so much time', async () => {
    const relay = await relayOf({ relayDuration: '3s' })
    const hidden = await hiddenBehind(relay)
    const caller = await lab.node({ settings: { bootstrap: [addressOf(relay)], kadProtocol } })
    const error = await caller.tasks.sendTask(hidden.peerId, 'wait', Uint8Array.of(1)).catch((cause: unknown) => cause)
    assert.ok(error instanceof ProtocolError, String(error))
    assert.deepEqual([error.code, error.mayHaveActed], ['LIMIT_EXCEEDED', true])
    assert.match(error.message, /its limit for each connection is 3 s; the peer may have acted/)
  })

  describe('in a subnet that requires registration', () => {
    let chain: string

    beforeEach(async () => {
      chain = `ledger:${join(await lab.folder(), 'shared.db')}`
    })

    async function member(settings: object, registered = true): Promise<SubnetNode> {
      const admission = registered ? 'registered' : 'open'
      const node = await lab.idle({
        handler: async ({ payload }) => payload.map((byte) => byte + 1),
        settings: { listen: ['/ip4/127.0.0.1/tcp/0'], kadProtocol, chain, admission, ...settings },
      })
      if (registered) {
        await node.registry.register('registered')
      }
      return node
    }

    it('is called over a relay that is registered, and by nobody who is not', async () => {
      const relay = await member({ relayService: 'on' })
      await relay.start()
      const bootstrap = [addressOf(relay)]
      const hidden = await member({ announce: [DEAD], bootstrap })
      const reached = event(hidden, 'addresses', ({ multiaddrs }) => multiaddrs.some(isOver(relay)))
      await hidden.start()
      await reached
      const caller = await member({ bootstrap })
      await caller.start()
      assert.deepEqual([...(await send(caller, hidden)).response], [2, 3])
      const stranger = await member({}, false)
      await stranger.start()
      const over = hidden.multiaddrs.filter((address) => isOver(relay)(address.toString()))
      assert.equal(over.length, 1)
      const error = await stranger.tasks.sendTask(over, 'one', Uint8Array.of(1)).catch((cause: unknown) => cause)
      assert.ok(error instanceof ProtocolError, String(error))
      assert.deepEqual([error.code, error.mayHaveActed], ['UNREACHABLE', false])
    })

    it('has no place with a relay that does not let it in', async () => {
      const relay = await member({ relayService: 'on' })
      await relay.start()
      const hidden = await member({ announce: [DEAD] }, false)
      await hidden.start()
      const identified = once(hidden, 'peer:disconnect')
      await hidden.connect(multiaddr(addressOf(relay))).catch(() => undefined)
      await identified
      assert.deepEqual(
        hidden.multiaddrs.filter((address) => isOver(relay)(address.toString())),
        [],
      )
    })
  })

  it('finds another relay when one is lost', async () => {
    const [first, second, third] = [await relayOf(), await relayOf(), await relayOf()]
    const hidden = await hiddenBehind(first, second)
    await hidden.connect(multiaddr(addressOf(third)))
    const wasOver = isOver(first)
    const moved = event(hidden, 'addresses', ({ multiaddrs }) => multiaddrs.some(isOver(third)))
    await first.stop()
    await moved
    assert.deepEqual(
      hidden.multiaddrs.filter((address) => wasOver(address.toString())),
      [],
    )
  })

  it('has its place back with a relay that starts again', async () => {
    const home = await lab.folder()
    const settings = { relayService: 'on' as const, kadProtocol }
    const relay = await lab.node({ home, settings })
    const listen = [addressOf(relay).split('/p2p/')[0] ?? '']
    const hidden = await hiddenBehind(relay)
    const wasOver = isOver(relay)
    const lost = event(hidden, 'addresses', ({ multiaddrs }) => !multiaddrs.some(wasOver))
    await relay.stop()
    await lost
    const back = event(hidden, 'addresses', ({ multiaddrs }) => multiaddrs.some(wasOver))
    const again = await lab.node({ home, settings: { ...settings, listen } })
    await back
    assert.equal(again.stats.relay?.reservations, 1)
  })

  it('keeps a place with two relays at most', async () => {
    const relays = [await relayOf(), await relayOf(), await relayOf()]
    const hidden = await hiddenBehind(relays[0] as SubnetNode, relays[1] as SubnetNode)
    await hidden.connect(multiaddr(addressOf(relays[2] as SubnetNode)))
    await once(hidden, 'heartbeat')
    assert.equal(hidden.multiaddrs.length, 3)
  })
})

function isOver(relay: SubnetNode): (address: string) => boolean {
  const over = `${addressOf(relay)}/p2p-circuit/`
  return (address) => address.startsWith(over)
}

async function send(from: SubnetNode, to: SubnetNode): Promise<{ response: Uint8Array; reached: { remoteAddr: { toString(): string } } }> {
  const response = await from.tasks.sendTask(to.peerId, 'one', Uint8Array.of(1, 2))
  const [connection] = from.connections.filter(({ remotePeer }) => remotePeer.equals(to.peerId))
  assert.ok(connection != null && peerIdOf(connection.remoteAddr) != null)
  return { response: response.result, reached: connection }
}
