import assert from 'node:assert/strict'
import type { SubnetNode } from '../../../src/index.ts'
import { TaskProtocol } from '../../../src/index.ts'
import { Lab } from '../../support/nodes.ts'
import { TextProtocol } from '../../support/protocol-host.ts'

const ID = '/test/shout/1.0.0'

describe('a protocol of a node', () => {
  const lab = new Lab()
  let server: SubnetNode
  let client: SubnetNode

  before(async () => {
    server = await lab.idle({ settings: { listen: ['/ip4/127.0.0.1/tcp/0'] } })
    client = await lab.node()
  })

  after(async () => lab.clean())

  it('cannot be constructed with an id that another has', async () => {
    const node = await lab.idle()
    new TextProtocol(node, ID)
    assert.throws(() => new TextProtocol(node, ID), /there is a protocol \/test\/shout\/1.0.0 already/)
    assert.throws(() => new TaskProtocol(node), /task_protocol/)
  })

  it('is ready once its node has started, and at once on a node that runs', async () => {
    const early = new TextProtocol(server, ID, (text) => text.toUpperCase())
    let ready = false
    const waiting = early.ready.then(() => {
      ready = true
    })
    await Promise.resolve()
    assert.equal(ready, false)
    await server.start()
    await waiting

    const late = new TextProtocol(server, '/test/whisper/1.0.0', (text) => text.toLowerCase())
    await late.ready
    assert.equal(await new TextProtocol(client, ID).call(server.multiaddrs, 'Hello'), 'HELLO')
    assert.equal(await new TextProtocol(client, late.id).call(server.peerId, 'Hello'), 'hello')
  })

  it('answers no more once its node has stopped; a request in flight is told, and its caller too', async () => {
    const handling = Promise.withResolvers<AbortSignal>()
    const id = '/test/slow/1.0.0'
    const slow = new TextProtocol(server, id, async (_text, { signal }) => {
      handling.resolve(signal)
      return new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    await slow.ready
    const call = assert.rejects(new TextProtocol(client, id).call(server.peerId, 'x'), { code: 'REMOTE_FAILED', mayHaveActed: true })
    const signal = await handling.promise
    await server.stop()
    assert.equal(signal.aborted, true)
    await call
  })
})
