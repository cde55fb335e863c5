import assert from 'node:assert/strict'
import { once } from 'node:events'
import { StringValueSchema } from '@bufbuild/protobuf/wkt'
import {
  type Destination,
  NodeError,
  ProtobufProtocol,
  type ProtobufProtocolInit,
  type ProtocolHost,
  type SubnetNode,
} from '../../../src/index.ts'
import { addressOf, Lab } from '../../support/nodes.ts'

const ID = '/test/options/1.0.0'
type Text = typeof StringValueSchema

/** A protocol that may be told all that a protocol can be told. */
class Options extends ProtobufProtocol<Text, Text> {
  stops = 0
  readonly #handle: (text: string, signal: AbortSignal) => Promise<string>

  constructor(
    host: ProtocolHost,
    init: Partial<ProtobufProtocolInit<Text, Text>> = {},
    handle: (text: string, signal: AbortSignal) => Promise<string> = async (text) => text,
  ) {
    super(host, { id: ID, request: StringValueSchema, response: StringValueSchema, ...init })
    this.#handle = handle
  }

  async call(to: Destination, value: string): Promise<string> {
    return (await this.callRemote(to, { value })).value
  }

  protected override async handleRequest({ signal }: { signal: AbortSignal }, { value }: { value: string }): Promise<{ value: string }> {
    return { value: await this.#handle(value, signal) }
  }

  protected override onStop(): void {
    this.stops++
  }
}

describe('what a protocol may be told', () => {
  const lab = new Lab()
  let server: SubnetNode
  let client: SubnetNode

  beforeEach(async () => {
    server = await lab.node()
    client = await lab.node()
  })

  afterEach(async () => lab.clean())

  it('to only call: it serves nothing, and there may be several', async () => {
    await new Options(server).ready
    const [one, two] = [new Options(client, { serve: false }), new Options(client, { serve: false })]
    assert.equal(await one.call(server.multiaddrs, 'one'), 'one')
    assert.equal(await two.call(server.peerId, 'two'), 'two')
    await assert.rejects(one.ready, { code: 'USAGE' })
    await assert.rejects(new Options(server, { serve: false }).call(client.peerId, 'x'), { code: 'PROTOCOL_UNSUPPORTED' })
    await one.stop()
    await assert.rejects(one.call(server.peerId, 'x'), { code: 'USAGE', message: `the protocol ${ID} was stopped` })
    assert.equal(await two.call(server.peerId, 'two'), 'two')
  })

  it('limits of its own', async () => {
    const asked = Promise.withResolvers<void>()
    await new Options(server, { limits: { maxFrameBytes: 100, maxRequestsPerPeer: 1 } }, async (text, signal) => {
      if (text === 'wait') {
        asked.resolve()
        await once(signal, 'abort')
      }
      return text
    }).ready
    const caller = new Options(client)
    await assert.rejects(caller.call(server.multiaddrs, 'x'.repeat(200)), {
      code: 'LIMIT_EXCEEDED',
      message: 'the peer accepts no frame larger than 100 bytes',
      mayHaveActed: false,
    })
    const waiting = caller.call(server.peerId, 'wait')
    await asked.promise
    await assert.rejects(caller.call(server.peerId, 'one too many'), {
      code: 'LIMIT_EXCEEDED',
      message: 'the peer handles no more than 1 requests at a time',
      mayHaveActed: false,
    })
    await caller.stop()
    await assert.rejects(waiting, { code: 'USAGE' })
  })

  it('whom to call as text', async () => {
    await new Options(server).ready
    const caller = new Options(client)
    assert.equal(await caller.call(addressOf(server), 'by address'), 'by address')
    assert.equal(await caller.call(server.peerId.toString(), 'by peer ID'), 'by peer ID')
    await assert.rejects(caller.call('nobody', 'x'), { code: 'USAGE' })
    await assert.rejects(caller.call([], 'x'), { code: 'USAGE', message: 'there is no multiaddr to dial' })
  })

  it('that it is over, once, when it is stopped or its node is', async () => {
    const [stopped, other] = [new Options(server), new Options(server, { id: '/test/other/1.0.0' })]
    await stopped.stop()
    await stopped.stop()
    assert.deepEqual([stopped.stops, other.stops], [1, 0])
    await server.stop()
    assert.deepEqual([stopped.stops, other.stops], [1, 1])
  })
})

describe('a handler that fails', () => {
  const lab = new Lab()

  afterEach(async () => lab.clean())

  it('is told of where its author looks, however often peers make it fail not more than ten times at once', async () => {
    const lines: string[] = []
    const write = process.stderr.write
    process.stderr.write = ((text: string) => lines.push(String(text)) > 0) as typeof write
    try {
      const [server, client] = [await lab.node({ settings: { logLevel: 'warn' } }), await lab.node()]
      await new Options(server, {}, async () => assert.fail('no such luck')).ready
      const caller = new Options(client)
      for (let call = 0; call < 20; call++) {
        await assert.rejects(caller.call(server.multiaddrs, 'x'), { code: 'REMOTE_FAILED' })
      }
      const told = lines.filter((line) => line.includes(ID))
      const [first = '', ...others] = (told[0] ?? '').split(' at ')
      assert.equal(first, `warn: ${ID}: the handler failed for ${client.peerId.toString()}: no such luck`)
      // the line of the handler, for its author
      assert.ok(
        others.some((frame) => /options\.test\.ts:\d+:\d+/.test(frame)),
        told[0],
      )
      assert.equal(told.length, 10)
    } finally {
      process.stderr.write = write
    }
  })
})

describe('a home', () => {
  const lab = new Lab()

  afterEach(async () => lab.clean())

  it('is that of one node at a time, until it is stopped', async () => {
    const home = await lab.folder()
    const first = await lab.node({ home })
    await assert.rejects(lab.node({ home }), (error) => error instanceof NodeError && error.code === 'ALREADY_RUNNING')
    await first.stop()
    await using second = await lab.node({ home })
    assert.ok(second.peerId.equals(first.peerId))
  })
})
