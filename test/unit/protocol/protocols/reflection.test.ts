import assert from 'node:assert/strict'
import { createFileRegistry, type DescMessage, fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { readSchemas } from '../../../../src/cli/messages/message-schemas.ts'
import { Kind, ReflectionRequestSchema, ReflectionResponseSchema } from '../../../../src/gen/subnet/reflection/v1/reflection_pb.ts'
import { TaskResponseSchema } from '../../../../src/gen/task_protocol_pb.ts'
import { type DescribedProtocol, ReflectionCaller, ReflectionProtocol } from '../../../../src/protocol/builtin/reflection.ts'
import { TaskProtocol } from '../../../../src/protocol/builtin/task.ts'
import { ProtobufProtocol, ProtobufStreamingProtocol } from '../../../../src/protocol/protobuf-protocol.ts'
import { describe as described, field, file, message, Type } from '../../../support/descriptors.ts'
import { MemoryHost } from '../../../support/memory-network.ts'
import { TextProtocol } from '../../../support/protocol-host.ts'
import { frameOf, prefixOf } from '../../../support/streams.ts'
import { failure } from '../../../support/two-hosts.ts'

const ID = '/subnet/reflection/1.0.0'
const MIB = 1 << 20

/** A protocol that is only told of. */
class Told extends ProtobufProtocol<DescMessage, DescMessage> {
  constructor(host: MemoryHost, id: string, [request, response = request]: DescMessage[]) {
    super(host, { id, request: request as DescMessage, response: response as DescMessage })
  }

  protected override async handleRequest(): Promise<never> {
    throw new Error('it is only told of')
  }
}

class ToldStream extends ProtobufStreamingProtocol<DescMessage, DescMessage> {
  constructor(host: MemoryHost, id: string, [request, response = request]: DescMessage[]) {
    super(host, { id, request: request as DescMessage, response: response as DescMessage })
  }

  // biome-ignore lint/correctness/useYield: it is only told of
  protected override async *handleRequest(): AsyncGenerator<never> {
    throw new Error('it is only told of')
  }
}

/** Says of its protocols what it likes. */
class Liar extends ProtobufProtocol<typeof ReflectionRequestSchema, typeof ReflectionResponseSchema> {
  readonly #answer: MessageInitShape<typeof ReflectionResponseSchema>

  constructor(host: MemoryHost, answer: MessageInitShape<typeof ReflectionResponseSchema>) {
    super(host, { id: ID, request: ReflectionRequestSchema, response: ReflectionResponseSchema })
    this.#answer = answer
  }

  protected override async handleRequest(): Promise<MessageInitShape<typeof ReflectionResponseSchema>> {
    return this.#answer
  }
}

function greetings(): DescMessage[] {
  return described([file('greet.proto', [message('GreetRequest'), message('GreetResponse')])], 'test.GreetRequest', 'test.GreetResponse')
}

describe('reflection', () => {
  let asker: MemoryHost
  let peer: MemoryHost
  let caller: ReflectionCaller

  beforeEach(async () => {
    ;[asker, peer] = await Promise.all([MemoryHost.create(), MemoryHost.create()])
    asker.link(peer)
    caller = new ReflectionCaller(asker)
  })

  function fileNames({ fileDescriptorSet }: DescribedProtocol): string[] {
    return fromBinary(FileDescriptorSetSchema, fileDescriptorSet as Uint8Array).file.map(({ name }) => name)
  }

  async function descriptionOf(id: string): Promise<DescribedProtocol> {
    const found = await caller.describe(peer.peerId, id)
    assert.ok(found != null)
    return found
  }

  it('lists all protocols of a peer: their kinds, and their messages where they are protobuf', async () => {
    new ReflectionProtocol(peer)
    new TextProtocol(peer, '/test/words/1.0.0')
    new ToldStream(peer, '/test/greet/1.0.0', greetings())
    const late = new TaskProtocol(peer)
    const expected = [
      {
        id: ID,
        kind: 'unary',
        requestType: 'subnet.reflection.v1.ReflectionRequest',
        responseType: 'subnet.reflection.v1.ReflectionResponse',
      },
      { id: '/test/words/1.0.0', kind: 'unary', requestType: undefined, responseType: undefined },
      { id: '/test/greet/1.0.0', kind: 'server-streaming', requestType: 'test.GreetRequest', responseType: 'test.GreetResponse' },
      {
        id: '/subnet/task_protocol/1.0.0',
        kind: 'unary',
        requestType: 'task_protocol.pb.TaskRequest',
        responseType: 'task_protocol.pb.TaskResponse',
      },
    ]
    assert.deepEqual(await caller.list(peer.peerId), expected)
    await late.stop()
    assert.deepEqual(await caller.list(peer.peerId), expected.slice(0, 3))
  })

  it('describes the messages of one, so that they can be read and written with nothing else', async () => {
    new ReflectionProtocol(peer)
    new TaskProtocol(peer)
    const { fileDescriptorSet, ...rest } = await descriptionOf('/subnet/task_protocol/1.0.0')
    assert.deepEqual(rest, {
      id: '/subnet/task_protocol/1.0.0',
      kind: 'unary',
      requestType: 'task_protocol.pb.TaskRequest',
      responseType: 'task_protocol.pb.TaskResponse',
    })
    const { request, response, files } = readSchemas(
      fileDescriptorSet as Uint8Array,
      rest.requestType as string,
      rest.responseType as string,
    )
    assert.deepEqual(
      request.fields.map(({ name, jsonName, number }) => ({ name, jsonName, number })),
      [
        { name: 'task_id', jsonName: 'taskId', number: 1 },
        { name: 'payload', jsonName: 'payload', number: 2 },
      ],
    )
    assert.deepEqual(
      response.fields.map(({ name }) => name),
      TaskResponseSchema.fields.map(({ name }) => name),
    )
    assert.equal(files.length, 1)
  })

  it('tells what is imported first, each file once', async () => {
    new ReflectionProtocol(peer)
    const files = [
      file('shared.proto', [message('Shared', [field('at', 1, '.google.protobuf.Timestamp')])], {
        dependency: ['google/protobuf/timestamp.proto'],
      }),
      file('unused.proto', [message('Unused')]),
      file('request.proto', [message('Request', [field('shared', 1, '.test.Shared')])], { dependency: ['shared.proto'] }),
      file('response.proto', [message('Response', [field('shared', 1, '.test.Shared'), field('at', 2, '.google.protobuf.Timestamp')])], {
        dependency: ['google/protobuf/timestamp.proto', 'shared.proto'],
      }),
    ]
    new Told(peer, '/test/both/1.0.0', described(files, 'test.Request', 'test.Response'))
    new Told(peer, '/test/one/1.0.0', described(files, 'test.Response'))
    const both = await descriptionOf('/test/both/1.0.0')
    assert.deepEqual(fileNames(both), ['google/protobuf/timestamp.proto', 'shared.proto', 'request.proto', 'response.proto'])
    createFileRegistry(fromBinary(FileDescriptorSetSchema, both.fileDescriptorSet as Uint8Array))
    const one = await descriptionOf('/test/one/1.0.0')
    assert.deepEqual(fileNames(one), ['google/protobuf/timestamp.proto', 'shared.proto', 'response.proto'])
    const { files: own } = readSchemas(one.fileDescriptorSet as Uint8Array, 'test.Response', 'test.Response')
    assert.deepEqual(
      own.map(({ proto }) => proto.name),
      ['shared.proto', 'response.proto'],
      "without protobuf's own",
    )
  })

  it('tells of messages that have themselves in them', async () => {
    new ReflectionProtocol(peer)
    const tree = described(
      [file('tree.proto', [message('Tree', [field('left', 1, '.test.Tree'), field('right', 2, '.test.Tree')])])],
      'test.Tree',
    )
    new Told(peer, '/test/tree/1.0.0', tree)
    const { fileDescriptorSet } = await descriptionOf('/test/tree/1.0.0')
    assert.equal(readSchemas(fileDescriptorSet as Uint8Array, 'test.Tree', 'test.Tree').request.fields[0]?.message?.typeName, 'test.Tree')
  })

  it('tells nothing of a protocol that is not spoken, and no messages where they are not protobuf', async () => {
    new ReflectionProtocol(peer)
    new TextProtocol(peer, '/test/words/1.0.0')
    assert.equal(await caller.describe(peer.peerId, '/test/none/1.0.0'), undefined)
    assert.deepEqual(await descriptionOf('/test/words/1.0.0'), {
      id: '/test/words/1.0.0',
      kind: 'unary',
      requestType: undefined,
      responseType: undefined,
      fileDescriptorSet: undefined,
    })
  })

  it('leaves files out that are too large, and tells those that are just not', async () => {
    new ReflectionProtocol(peer)
    const sized = (bytes: number): DescMessage[] =>
      described([file('large.proto', [message('Large', [field(`f${'x'.repeat(bytes)}`, 1, Type.STRING, { jsonName: '' })])])], 'test.Large')
    new Told(peer, '/test/large/1.0.0', sized(MIB - 5_000))
    new Told(peer, '/test/too-large/1.0.0', sized(MIB - 4_096))
    assert.ok(((await descriptionOf('/test/large/1.0.0')).fileDescriptorSet?.byteLength ?? 0) > MIB - 5_000)
    const { fileDescriptorSet, requestType } = await descriptionOf('/test/too-large/1.0.0')
    assert.deepEqual({ fileDescriptorSet, requestType }, { fileDescriptorSet: undefined, requestType: 'test.Large' })
  })

  it('lists no more than a thousand', async () => {
    new ReflectionProtocol(peer)
    for (let index = 1; index <= 1_200; index++) {
      new TextProtocol(peer, `/test/${index}/1.0.0`)
    }
    const listed = await caller.list(peer.peerId)
    assert.equal(listed.length, 1_000)
    assert.equal(listed.at(-1)?.id, '/test/999/1.0.0')
    assert.equal((await descriptionOf('/test/1200/1.0.0')).id, '/test/1200/1.0.0')
  })

  it('lists as many as its answer holds, however long their names are', async () => {
    new ReflectionProtocol(peer)
    const name = 'M'.repeat(500)
    const [long] = described([file('long.proto', [message(name)])], `test.${name}`)
    for (let index = 0; index < 1_000; index++) {
      new Told(peer, `/${'x'.repeat(240)}/${index}`, [long as DescMessage])
    }
    const listed = await caller.list(peer.peerId)
    assert.ok(listed.length > 700 && listed.length < 1_000, `${listed.length}`)
    assert.ok(listed.every(({ requestType }, index) => index === 0 || requestType === `test.${name}`))
  })

  it('is not spoken by everyone', async () => {
    new TextProtocol(peer, '/test/words/1.0.0')
    for (const call of [caller.list(peer.peerId), caller.describe(peer.peerId, '/test/words/1.0.0')]) {
      const { code, hint } = await failure(call)
      assert.deepEqual({ code, hint }, { code: 'PROTOCOL_UNSUPPORTED', hint: 'it speaks /test/words/1.0.0' })
    }
  })

  it('is asked with no more than 1 MiB, of what can be decoded', async () => {
    new ReflectionProtocol(peer)
    for (const bytes of [frameOf(Buffer.from([0x0a, 0xff])), frameOf(Buffer.from([0x0a, 2, 0xff, 0xfe])), prefixOf(MIB + 1)]) {
      const stream = await asker.open(peer, ID)
      const closed = new Promise<Error | undefined>((resolve) => stream.addEventListener('close', ({ error }) => resolve(error)))
      stream.send(bytes)
      assert.ok((await closed) instanceof Error)
    }
  })

  describe('of a peer that lies', () => {
    const protocol = { id: '/test/greet/1.0.0', kind: Kind.UNARY, requestType: 'test.GreetRequest', responseType: 'test.GreetResponse' }

    it('keeps ids out that are none', async () => {
      const ids = ['', '/', 'greet', '/a b', '/a\nb', '/\u001b[31m', '/größe', `/${'x'.repeat(256)}`, '/test/\u202egreet']
      new Liar(peer, { protocols: [...ids, protocol.id].map((id) => ({ ...protocol, id })) })
      assert.deepEqual(
        (await caller.list(peer.peerId)).map(({ id }) => id),
        [protocol.id],
      )
    })

    it('keeps names of messages out that are none', async () => {
      for (const name of ['test.Größe', 'test Greet', '\u001b[31m', '1test', '.test.Greet', 'a\nb', 'x'.repeat(513), 'a-b']) {
        new Liar(peer, { protocols: [{ ...protocol, requestType: name, responseType: name }] })
        assert.deepEqual(await caller.list(peer.peerId), [
          { id: protocol.id, kind: 'unary', requestType: undefined, responseType: undefined },
        ])
        const { requestType, responseType } = await descriptionOf(protocol.id)
        assert.deepEqual([requestType, responseType], [undefined, undefined])
      }
    })

    it('does not know of kinds that are none', async () => {
      for (const kind of [Kind.UNSPECIFIED, 3, -1, 2 ** 31 - 1]) {
        new Liar(peer, { protocols: [{ ...protocol, kind: kind as Kind }] })
        assert.equal((await caller.list(peer.peerId))[0]?.kind, undefined)
      }
    })

    it('takes no more than a thousand', async () => {
      new Liar(peer, { protocols: Array.from({ length: 5_000 }, (_, index) => ({ ...protocol, id: `/${index}` })) })
      assert.equal((await caller.list(peer.peerId)).length, 1_000)
    })

    it('takes of what it describes only what was asked for', async () => {
      const fileDescriptorSet = Buffer.from('no descriptors')
      new Liar(peer, { protocols: [{ ...protocol, id: '/test/other/1.0.0' }], fileDescriptorSet })
      assert.equal(await caller.describe(peer.peerId, protocol.id), undefined)
      new Liar(peer, { protocols: [{ ...protocol, id: '/test/other/1.0.0' }, protocol], fileDescriptorSet })
      const found = await descriptionOf(protocol.id)
      assert.equal(found.id, protocol.id)
      assert.ok(fileDescriptorSet.equals(found.fileDescriptorSet as Uint8Array), 'as it came: it is read where it is needed')
      new Liar(peer, { fileDescriptorSet })
      assert.equal(await caller.describe(peer.peerId, protocol.id), undefined)
    })

    it('takes no answer over 1 MiB', async () => {
      new Liar(peer, { protocols: [protocol], fileDescriptorSet: new Uint8Array(MIB) })
      assert.equal((await failure(caller.describe(peer.peerId, protocol.id))).code, 'LIMIT_EXCEEDED')
    })
  })
})
