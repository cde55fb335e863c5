import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Stream } from '@libp2p/interface'
import type { SubnetNode } from '../../../src/index.ts'
import { Lab } from '../../support/nodes.ts'
import { eventually, TextProtocol } from '../../support/protocol-host.ts'
import { failure, verdict } from '../../support/two-hosts.ts'

const ID = '/test/shared/1.0.0'

describe('calls between nodes, on the stream that they share', () => {
  const lab = new Lab()
  let server: SubnetNode
  let client: SubnetNode
  let caller: TextProtocol
  /** What was handled, each time it was. */
  let handled: string[]
  let release: PromiseWithResolvers<void>
  let answerer: TextProtocol

  beforeEach(async () => {
    ;[server, client] = await Promise.all([lab.node(), lab.node()])
    handled = []
    release = Promise.withResolvers()
    answerer = new TextProtocol(server, ID, async (text, { signal }) => {
      handled.push(text)
      if (text.startsWith('wait')) {
        await Promise.race([release.promise, once(signal, 'abort')])
      }
      return text
    })
    await answerer.ready
    caller = new TextProtocol(client, ID)
    await caller.call(server.multiaddrs, 'first')
  })

  afterEach(async () => lab.clean())

  function shared(node: SubnetNode): Stream[] {
    return node.connections.flatMap(({ streams }) => streams).filter(({ protocol }) => protocol === `${ID}/pipelined`)
  }

  async function waiting(): Promise<Array<ReturnType<typeof failure>>> {
    const calls = ['wait 1', 'wait 2', 'wait 3'].map(async (text) => failure(caller.call(server.peerId, text)))
    await eventually(() => handled.length === 4, 'all are being handled')
    return calls
  }

  /** Each was handled once, and the next call goes through. */
  async function afterwards(): Promise<void> {
    release.resolve()
    assert.equal(await caller.call(server.multiaddrs, 'next'), 'next')
    assert.deepEqual(handled.sort(), ['first', 'next', 'wait 1', 'wait 2', 'wait 3'])
    await eventually(() => answerer.handling === 0, 'nothing is being handled any more')
  }

  it('need one stream, and none of their own', async () => {
    await Promise.all(Array.from({ length: 100 }, async (_, index) => caller.call(server.peerId, `call ${index}`)))
    assert.equal(shared(client).length, 1)
    assert.equal(shared(server).length, 1)
    assert.deepEqual(
      client.connections.flatMap(({ streams }) => streams).filter(({ protocol }) => protocol === ID),
      [],
    )
  })

  const losses: Record<string, () => void> = {
    'the connection is cut': () => {
      for (const connection of client.connections) {
        connection.abort(new Error('the cable was cut'))
      }
    },
    'the peer hangs up': () => void server.disconnect(client.peerId),
    'the caller hangs up': () => void client.disconnect(server.peerId),
    'the peer resets the stream': () => shared(server)[0]?.abort(new Error('no')),
    'somebody closes the stream of the peer': () => void shared(server)[0]?.close(),
  }

  for (const [what, lose] of Object.entries(losses)) {
    it(`fail when ${what}, saying that they may have been acted on; none is made again, and the next one goes through`, async () => {
      const calls = await waiting()
      lose()
      for (const error of await Promise.all(calls)) {
        assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
        assert.match(error.message, /may have acted/)
      }
      await afterwards()
    })
  }

  it('fail when the protocol of the peer stops, and go to the next one that has its id', async () => {
    const calls = await waiting()
    await answerer.stop()
    for (const error of await Promise.all(calls)) {
      assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
    }
    const next = new TextProtocol(server, ID, (text) => text.toUpperCase())
    await next.ready
    assert.equal(await caller.call(server.peerId, 'hello'), 'HELLO')
  })

  it('go on when large ones fill the stream: small ones come back first', async () => {
    const order: string[] = []
    const large = ['a', 'b'].map(async (letter) =>
      caller.call(server.peerId, letter.repeat(16 * 1024 * 1024)).then(() => order.push('large')),
    )
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => caller.call(server.peerId, `small ${index}`).then(() => order.push('small'))),
    )
    await Promise.all(large)
    assert.deepEqual(order, [...Array(20).fill('small'), 'large', 'large'])
    assert.deepEqual([client.budget.free, server.budget.free], [client.limits.maxBytesInFlight, server.limits.maxBytesInFlight])
  })
})
