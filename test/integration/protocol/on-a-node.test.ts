import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { SubnetNode } from '../../../src/index.ts'
import { TaskProtocol, UsageError } from '../../../src/index.ts'
import { Lab } from '../../support/nodes.ts'
import { eventually, TextProtocol, TextStreamProtocol } from '../../support/protocol-host.ts'
import { failure, verdict } from '../../support/two-hosts.ts'

const ID = '/test/shout/1.0.0'

/** Waits until one node knows that another speaks a protocol, or no more; of that no event tells. */
async function hears(listener: SubnetNode, of: SubnetNode, id: string, spoken = true): Promise<void> {
  const giveUpAtMs = Date.now() + 10_000
  while ((await listener.protocolsOf(of.peerId)).includes(id) !== spoken) {
    assert.ok(Date.now() < giveUpAtMs, `it never hears that ${id} is ${spoken ? '' : 'not '}spoken`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

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
    assert.throws(() => new TextProtocol(node, ID), /protocol \/test\/shout\/1.0.0 is already registered/)
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

  it('answers large calls that small ones overtake on the way, call by call', async () => {
    const id = '/test/repeat/1.0.0'
    const caller = new TextProtocol(client, id)
    await new TextProtocol(server, id).ready
    await caller.call(server.peerId, 'the stream is there')
    const texts = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? `${index}`.repeat(300_000) : `${index}`))
    const answers = await Promise.all(texts.map(async (text) => caller.call(server.peerId, text)))
    assert.ok(answers.every((answer, index) => answer === texts[index]))
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

describe('a protocol of a node that is stopped', () => {
  const lab = new Lab()
  let server: SubnetNode
  let client: SubnetNode

  before(async () => {
    ;[server, client] = await Promise.all([lab.node(), lab.node()])
    await client.connect(server.multiaddrs[0] as (typeof server.multiaddrs)[0])
  })

  after(async () => lab.clean())

  it('leaves its id free, and peers hear that it is not spoken', async () => {
    const id = '/test/stopped/1.0.0'
    const first = new TextProtocol(server, id, () => 'first')
    await first.ready
    const caller = new TextProtocol(client, id)
    assert.equal(await caller.call(server.peerId, 'x'), 'first')
    await first.stop()
    await first.stop()
    assert.ok(![...server.protocols].some((protocol) => protocol.id === id))
    assert.deepEqual(verdict(await failure(caller.call(server.peerId, 'x'))), {
      code: 'PROTOCOL_UNSUPPORTED',
      phase: 'negotiate',
      mayHaveActed: false,
    })
    const second = new TextProtocol(server, id, () => 'second')
    await second.ready
    assert.equal(await caller.call(server.peerId, 'x'), 'second')
    // one that is out already takes nobody else's place
    await first.stop()
    assert.equal(await caller.call(server.peerId, 'x'), 'second')
  })

  it('ends what it has in flight: requests, and calls of its own', async () => {
    const id = '/test/in-flight/1.0.0'
    const handling = Promise.withResolvers<AbortSignal>()
    const answerer = new TextProtocol(server, id, async (_text, { signal }) => {
      handling.resolve(signal)
      await once(signal, 'abort')
      throw signal.reason
    })
    await answerer.ready
    const caller = new TextProtocol(client, id)
    const told = failure(caller.call(server.peerId, 'x'))
    const signal = await handling.promise
    await answerer.stop()
    assert.match((signal.reason as Error).message, /\/test\/in-flight\/1\.0\.0 was stopped/)
    assert.deepEqual(verdict(await told), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })

    const endless = new TextStreamProtocol(server, id, async function* (_words, context) {
      yield 'one'
      await once(context.signal, 'abort')
    })
    await endless.ready
    const asking = new TextStreamProtocol(client, '/test/asks/1.0.0')
    const words = new TextStreamProtocol(server, '/test/asks/1.0.0', async function* (_words, context) {
      yield 'one'
      await once(context.signal, 'abort')
    })
    await Promise.all([asking.ready, words.ready])
    const answers = asking.call(server.peerId, 'x')
    await answers.next()
    const ended = assert.rejects(answers.next(), UsageError)
    await asking.stop()
    await ended
    await eventually(() => words.handling === 0, 'the other side has heard')
  })

  it('before its node starts is never served, and its id is free', async () => {
    const node = await lab.idle({ settings: { listen: ['/ip4/127.0.0.1/tcp/0'] } })
    const early = new TextProtocol(node, '/test/early/1.0.0')
    await early.stop()
    await assert.rejects(early.ready, { name: 'UsageError', message: /\/test\/early\/1\.0\.0 was stopped/ })
    const second = new TextProtocol(node, '/test/early/1.0.0', () => 'second')
    await node.start()
    await second.ready
    assert.equal(await new TextProtocol(client, second.id).call(node.multiaddrs, 'x'), 'second')
  })

  it('stays stopped when its node stops, and may be stopped after it', async () => {
    const node = await lab.node()
    const protocol = new TextProtocol(node, '/test/late/1.0.0')
    await protocol.ready
    await node.stop()
    await protocol.stop()
    assert.equal(protocol.handling, 0)
  })
})

describe('a protocol of a node, its id', () => {
  const lab = new Lab()

  after(async () => lab.clean())

  for (const [what, id] of Object.entries({
    'is empty': '',
    'has no slash before it': 'test/1.0.0',
    'is a slash': '/',
    'has a space': '/a b',
    'has a line break': '/a\nb',
    'has an escape character': '/a\u001b[31m',
    'is not ASCII': '/größe/1.0.0',
    'is longer than 256 bytes': `/${'x'.repeat(256)}`,
  })) {
    it(`that ${what} is refused, and does not enter the node`, async () => {
      const node = await lab.idle()
      const before = [...node.protocols].length
      assert.throws(() => new TextProtocol(node, id), { name: 'UsageError', message: /^not a protocol id: "/ })
      assert.equal([...node.protocols].length, before)
    })
  }

  it('that another has is refused, with the way out', async () => {
    const node = await lab.idle()
    const first = new TextProtocol(node, ID)
    assert.throws(() => new TextProtocol(node, ID), { name: 'UsageError', hint: /protocol\.stop\(\)/ })
    await first.stop()
    assert.ok(new TextProtocol(node, ID))
  })

  it('is told to peers that are connected already, and that it is gone too', async () => {
    const [server, client] = await Promise.all([lab.node(), lab.node()])
    await client.connect(server.multiaddrs[0] as (typeof server.multiaddrs)[0])
    await hears(client, server, '/subnet/task_protocol/1.0.0')
    assert.ok(!(await client.protocolsOf(server.peerId)).includes(ID))
    const late = new TextProtocol(server, ID)
    await late.ready
    await hears(client, server, ID)
    await late.stop()
    await hears(client, server, ID, false)
  })
})

describe('a protocol of a node that only asks', () => {
  const lab = new Lab()

  after(async () => lab.clean())

  it('is never ready, and calls all the same', async () => {
    const [server, asker] = await Promise.all([lab.node(), lab.idle()])
    const early = new TextProtocol(asker, ID)
    await asker.start()
    await assert.rejects(early.ready, { name: 'UsageError', message: /listens nowhere/ })
    const late = new TextProtocol(asker, '/test/late/1.0.0')
    await assert.rejects(late.ready, { name: 'UsageError', message: /listens nowhere/ })
    await new TextProtocol(server, ID, (text) => text.toUpperCase()).ready
    assert.equal(await early.call(server.multiaddrs, 'hello'), 'HELLO')
  })

  it('is told what the peer speaks, where it does not speak this', async () => {
    const [server, asker] = await Promise.all([lab.node(), lab.idle()])
    await asker.start()
    await new TextProtocol(server, '/test/other/1.0.0').ready
    const unknown = await failure(new TextProtocol(asker, '/test/unknown/1.0.0').call(server.multiaddrs, 'x'))
    assert.equal(unknown.code, 'PROTOCOL_UNSUPPORTED')
    assert.match(unknown.message, /does not speak \/test\/unknown\/1\.0\.0/)
    const hint = unknown.hint ?? ''
    assert.match(hint, /^it speaks \//)
    for (const id of ['/subnet/task_protocol/1.0.0', '/subnet/reflection/1.0.0', '/test/other/1.0.0']) {
      assert.ok(hint.includes(id), hint)
    }
  })
})
