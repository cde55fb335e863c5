import assert from 'node:assert/strict'
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema, file_google_protobuf_timestamp } from '@bufbuild/protobuf/wkt'
import { describeProtocol } from '../../../src/cli/messages/describe-protocol.ts'
import { readFiles, readSchemas } from '../../../src/cli/messages/message-schemas.ts'
import { field, file, message, Type } from '../../support/descriptors.ts'

const NASTY = ['', '1a', 'a b', 'a-b', 'a\nb', 'größe', '\u001b[31m', 'a;', 'a"', '\u202ea', 'x'.repeat(257)]

function bytesOf(...files: Array<ReturnType<typeof file>>): Uint8Array {
  const set = { file: [file_google_protobuf_timestamp.proto, ...files] } as MessageInitShape<typeof FileDescriptorSetSchema>
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, set))
}

describe('described files', () => {
  it('are read with the messages in them, and what they are made of', () => {
    const bytes = bytesOf(
      file(
        'a.proto',
        [message('A', [field('at', 1, '.google.protobuf.Timestamp'), field('b', 2, '.test.A.B')], { nestedType: [message('B')] as never })],
        {
          dependency: ['google/protobuf/timestamp.proto'],
        },
      ),
    )
    const { request, response, files, registry } = readSchemas(bytes, 'test.A', 'test.A.B')
    assert.deepEqual([request.typeName, response.typeName], ['test.A', 'test.A.B'])
    assert.ok(registry.getMessage('google.protobuf.Timestamp') != null)
    assert.deepEqual(
      files.map(({ proto }) => proto.name),
      ['a.proto'],
    )
  })

  it('say what a field is called in JSON, also where they do not', () => {
    const plain = (name: string) => field(name, 1, Type.STRING, { jsonName: '' })
    const bytes = bytesOf(
      file('a.proto', [message('A', [plain('first_name')], { nestedType: [message('B', [plain('_odd__name_')])] as never })]),
    )
    const { request, response } = readSchemas(bytes, 'test.A', 'test.A.B')
    assert.deepEqual([request.fields[0]?.jsonName, response.fields[0]?.jsonName], ['firstName', 'OddName'])
  })

  for (const [what, files] of [
    ['import what is not there', [file('a.proto', [message('A')], { dependency: ['b.proto'] })]],
    ['import what comes later', [file('a.proto', [message('A')], { dependency: ['b.proto'] }), file('b.proto', [])]],
    ['import themselves', [file('a.proto', [message('A')], { dependency: ['a.proto'] })]],
    ['name a type that is not there', [file('a.proto', [message('A', [field('b', 1, '.test.B')])])]],
    ['are of an unknown syntax', [file('a.proto', [message('A')], { syntax: 'proto9' })]],
    ['have a oneof that is not there', [file('a.proto', [message('A', [field('b', 1, Type.STRING, { oneofIndex: 3 })])])]],
    ['do not have the message', [file('a.proto', [message('B')])]],
  ] as Array<[string, Array<ReturnType<typeof file>>]>) {
    it(`are refused where they ${what}`, () => {
      assert.throws(() => readSchemas(bytesOf(...files), 'test.A', 'test.A'), Error)
    })
  }

  for (const [what, files] of Object.entries({
    'a message': (name: string) => file('a.proto', [message(name)]),
    'a message in a message': (name: string) => file('a.proto', [message('A', [], { nestedType: [message(name)] as never })]),
    'a field': (name: string) => file('a.proto', [message('A', [field(name, 1, Type.STRING, { jsonName: 'a' })])]),
    'a oneof': (name: string) =>
      file('a.proto', [message('A', [field('b', 1, Type.STRING, { oneofIndex: 0 })], { oneofDecl: [{ name }] as never })]),
    'an enum': (name: string) => file('a.proto', [], { enumType: [{ name, value: [{ name: 'A', number: 0 }] }] as never }),
    'a value of an enum': (name: string) => file('a.proto', [], { enumType: [{ name: 'A', value: [{ name, number: 0 }] }] as never }),
    'a value of an enum in a message': (name: string) =>
      file('a.proto', [message('A', [], { enumType: [{ name: 'B', value: [{ name, number: 0 }] }] as never })]),
  })) {
    it(`are refused where the name of ${what} is none`, () => {
      readFiles(bytesOf(files('fine_1')))
      for (const name of NASTY) {
        assert.throws(() => readFiles(bytesOf(files(name))), Error, JSON.stringify(name))
      }
    })
  }

  it('are refused where the name of a file, a package, or a field in JSON is none', () => {
    for (const name of ['', 'a b.proto', 'a\nb.proto', '"; evil', '\u001b[31m.proto', 'x'.repeat(513)]) {
      assert.throws(() => readFiles(bytesOf(file(name, []))), /is not a name/, JSON.stringify(name))
    }
    for (const name of ['a..b', 'a.', '.a', 'a b', '1', 'a\nb', '\u001b[31m']) {
      assert.throws(() => readFiles(bytesOf(file('a.proto', [], { package: name }))), /is not a name/, JSON.stringify(name))
    }
    for (const jsonName of ['a\nb', '\u001b[31m', '\u009b31m', 'a\u202eb', 'x'.repeat(257)]) {
      const bytes = bytesOf(file('a.proto', [message('A', [field('a', 1, Type.STRING, { jsonName })])]))
      assert.throws(() => readFiles(bytes), /is not a name in JSON/, JSON.stringify(jsonName))
    }
    const bytes = bytesOf(file('a.proto', [message('A', [field('a', 1, Type.STRING, { jsonName: '@größe "x"' })])]))
    assert.equal(readFiles(bytes).at(-1)?.messages[0]?.fields[0]?.jsonName, '@größe "x"')
  })

  it('may nest as deep as protobuf allows, and no deeper', () => {
    const nested = (depth: number): ReturnType<typeof message> =>
      message('A', [], depth === 0 ? {} : { nestedType: [nested(depth - 1)] as never })
    readFiles(bytesOf(file('a.proto', [nested(90)])))
    assert.throws(() => readFiles(bytesOf(file('a.proto', [nested(200)]))), /recursion/)
  })
})

describe('a described protocol', () => {
  const protocol = { id: "/test/it's/1.0.0", kind: 'server-streaming', requestType: 'test.A', responseType: 'test.B' } as const

  it('is a .proto text, with the call to make', () => {
    const fileDescriptorSet = bytesOf(file('a.proto', [message('A', [field('name', 1, Type.STRING, { jsonName: "it's" })]), message('B')]))
    const { text, example, proto, ...rest } = describeProtocol({ peerId: 'bob', protocol, fileDescriptorSet })
    assert.deepEqual(rest, { peerId: 'bob', ...protocol, fileDescriptorSetBase64: Buffer.from(fileDescriptorSet).toString('base64') })
    assert.deepEqual(example, { "it's": '' })
    assert.deepEqual(text.split('\n').slice(0, 3), [
      "// /test/it's/1.0.0: any number of answers",
      '// test.A -> test.B',
      'syntax = "proto3";',
    ])
    assert.ok(text.includes(proto))
    assert.equal(text.split('\n').at(-1), `// subnet call bob /test/it's/1.0.0 --data '{"it'\\''s":""}'`)
  })

  it('of several files names each', () => {
    const fileDescriptorSet = bytesOf(
      file('b.proto', [message('B')]),
      file('a.proto', [message('A', [field('b', 1, '.test.B')])], { dependency: ['b.proto'] }),
    )
    const { proto } = describeProtocol({ peerId: 'bob', protocol, fileDescriptorSet })
    assert.deepEqual(
      proto.split('\n').filter((line) => line.startsWith('//')),
      ['// b.proto', '// a.proto'],
    )
  })
})
