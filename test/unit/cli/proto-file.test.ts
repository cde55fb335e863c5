import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type DescFile, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { readFiles } from '../../../src/cli/messages/message-schemas.ts'
import { compileProto } from '../../../src/cli/messages/proto-compiler.ts'
import { readProtoFile } from '../../../src/cli/messages/proto-file.ts'
import { bufBuild, meaningOf, PROTO_FOLDERS, protosIn, writeProtos } from '../../support/proto-files.ts'
import { TempFolders } from '../../support/temp.ts'

const HEAD = 'syntax = "proto3"; package a.v1;'
const PAIR = 'message DoRequest { string x = 1; } message DoResponse { string y = 1; }'

describe('what --proto names', function () {
  this.timeout(30_000)
  const folders = new TempFolders()
  let folder: string

  beforeEach(async () => {
    folder = await folders.make()
  })

  after(async () => folders.clean())

  /** Writes files, and reads the first of them. */
  async function read(files: Record<string, string>, requestType?: string, responseType?: string): ReturnType<typeof readProtoFile> {
    await writeProtos(folder, files)
    return readProtoFile(join(folder, Object.keys(files)[0] as string), { requestType, responseType })
  }

  async function compiled(path: string): Promise<DescFile[]> {
    return readFiles(toBinary(FileDescriptorSetSchema, await compileProto(path)))
  }

  for (const root of PROTO_FOLDERS) {
    it(`is compiled to what buf makes of it: ${root.split('/').slice(-3).join('/')}`, async () => {
      const theirs = readFiles(toBinary(FileDescriptorSetSchema, await bufBuild(root, join(folder, 'buf.binpb'))))
      const names = protosIn(root)
      assert.ok(names.length >= 5)
      for (const name of names) {
        const ours = await compiled(join(root, name))
        const expected = theirs.find(({ proto }) => proto.name === name) as DescFile
        assert.deepEqual(meaningOf(ours.at(-1) as DescFile), meaningOf(expected), name)
        for (const file of ours.slice(0, -1)) {
          const same = theirs.find(({ proto }) => proto.name === file.proto.name) as DescFile
          if (!file.proto.name.startsWith('google/protobuf/')) {
            assert.deepEqual(meaningOf(file), meaningOf(same), file.proto.name)
          }
        }
      }
    })
  }

  it('may be a descriptor set', async () => {
    await bufBuild(PROTO_FOLDERS[0] as string, join(folder, 'all.binpb'))
    const { request, response, kind } = await readProtoFile(join(folder, 'all.binpb'), {
      requestType: 'TaskRequest',
      responseType: 'TaskResponse',
    })
    assert.deepEqual(
      [request.typeName, response.typeName, kind],
      ['task_protocol.pb.TaskRequest', 'task_protocol.pb.TaskResponse', 'unary'],
    )
  })

  it('finds what is imported beside it and in the folders above, whatever the compiler would call it', async () => {
    const { files } = await read({
      'proto/a/v1/do.proto': `${HEAD} import "beside.proto"; import "a/v1/rooted.proto"; import "google/protobuf/timestamp.proto";
        message DoRequest { Beside beside = 1; Rooted rooted = 2; google.protobuf.Timestamp at = 3; } message DoResponse {}`,
      'proto/a/v1/beside.proto': `${HEAD} import "b.proto"; message Beside { b.B b = 1; }`,
      'proto/a/v1/rooted.proto': `${HEAD} import "b.proto"; message Rooted { b.B b = 1; }`,
      'proto/b.proto': 'syntax = "proto3"; package b; message B { string x = 1; }',
      'proto/a/b.txt': 'not this one',
    })
    assert.deepEqual(
      files.map(({ proto }) => proto.name),
      ['b.proto', 'beside.proto', 'a/v1/rooted.proto', 'do.proto'],
    )
  })

  it('may import another file of its own name', async () => {
    const { request } = await read({
      'a/v1/do.proto': `${HEAD} import "do.proto"; import "other.proto"; message DoRequest { b.B b = 1; c.C c = 2; } message DoResponse {}`,
      'a/do.proto': 'syntax = "proto3"; package b; message B { string x = 1; }',
      'a/v1/other.proto': 'syntax = "proto3"; package c; message C {}',
    })
    assert.equal(request.fields[0]?.message?.typeName, 'b.B')
  })

  for (const [what, files, message] of [
    [
      'that is nowhere',
      { 'do.proto': `${HEAD} import "none.proto"; ${PAIR}` },
      /do\.proto imports "none\.proto", which is neither beside it nor in a folder above/,
    ],
    ['of itself', { 'do.proto': `${HEAD} import "do.proto"; ${PAIR}` }, /imports "do\.proto", which is neither/],
    [
      'in a circle',
      { 'do.proto': `${HEAD} import "b.proto"; ${PAIR}`, 'b.proto': 'syntax = "proto3"; import "do.proto";' },
      /"do\.proto" is imported by a file that it imports/,
    ],
  ] as Array<[string, Record<string, string>, RegExp]>) {
    it(`cannot have an import ${what}`, async () => {
      await assert.rejects(read(files), { name: 'UsageError', message })
    })
  }

  for (const [what, text, message] of [
    ['is not proto', '{"a": 1}', /is not valid: illegal token '\{' \(.*do\.proto, line 1\)/],
    ['has a fault', `${HEAD}\nmessage DoRequest {\n  strin x = ;\n}`, /is not valid: .*do\.proto, line 3\)/],
    [
      'names a type that is not there',
      `${HEAD} message DoRequest { Nope x = 1; }`,
      /a\.v1\.DoRequest names the type Nope, which does not exist/,
    ],
    ['has a number twice', `${HEAD} message DoRequest { string a = 1; string b = 1; }`, /duplicate id 1/],
    ['has a name twice', `${HEAD} message DoRequest { string a = 1; string a = 2; }`, /duplicate name 'a'/],
    ['ends too early', `${HEAD} message DoRequest {`, /is not valid: /],
    ['is empty', '', /^--proto describes no messages$/],
    ['has no messages', `${HEAD} enum Color { RED = 0; }`, /^--proto describes no messages$/],
  ] as Array<[string, string, RegExp]>) {
    it(`is refused where it ${what}`, async () => {
      await assert.rejects(read({ 'do.proto': text }), { name: 'UsageError', message })
    })
  }

  it('has a hint that says what is missing where it is empty, whatever else was said', async () => {
    await writeFile(join(folder, 'empty.proto'), '')
    for (const options of [{}, { requestType: 'DoRequest', responseType: 'DoResponse' }]) {
      await assert.rejects(readProtoFile(join(folder, 'empty.proto'), options), {
        hint: '--proto takes a .proto file with a message for the request and one for the response',
      })
    }
  })

  it('is refused where it cannot be read, or is nothing of that kind', async () => {
    await assert.rejects(readProtoFile(join(folder, 'none.proto'), {}), {
      name: 'UsageError',
      message: /none\.proto cannot be read: no such file/,
    })
    await assert.rejects(readProtoFile(join(folder, 'none.binpb'), {}), { name: 'UsageError', message: /cannot be read: no such file/ })
    await mkdir(join(folder, 'folder.proto'))
    await assert.rejects(readProtoFile(join(folder, 'folder.proto'), {}), { name: 'UsageError', message: /cannot be read: .*directory/ })
    await writeFile(join(folder, 'noise'), Buffer.from([0x0a, 0xff, 0xff]))
    await assert.rejects(readProtoFile(join(folder, 'noise'), {}), {
      name: 'UsageError',
      message: /noise is not valid: /,
      hint: /\.proto file, or a descriptor set/,
    })
  })

  describe('says which two messages are meant', () => {
    const messages = 'message A {} message B {}'

    for (const [how, text, expected] of [
      ['by their names', `${HEAD} message Other {} ${PAIR}`, ['a.v1.DoRequest', 'a.v1.DoResponse', 'unary']],
      ['by its only rpc', `${HEAD} ${messages} ${PAIR} service S { rpc Do(A) returns (B); }`, ['a.v1.A', 'a.v1.B', 'unary']],
      [
        'by an rpc with many answers',
        `${HEAD} ${messages} service S { rpc Do(A) returns (stream B) {} }`,
        ['a.v1.A', 'a.v1.B', 'server-streaming'],
      ],
      ['without a package', `syntax = "proto3"; ${PAIR}`, ['DoRequest', 'DoResponse', 'unary']],
    ] as Array<[string, string, string[]]>) {
      it(how, async () => {
        const { request, response, kind } = await read({ 'do.proto': text })
        assert.deepEqual([request.typeName, response.typeName, kind], expected)
      })
    }

    it('whatever is in the files that it imports', async () => {
      const { request } = await read({
        'do.proto': `${HEAD} import "b.proto"; ${PAIR}`,
        'b.proto': `syntax = "proto3"; package b; ${PAIR} ${messages} service S { rpc Do(A) returns (B); }`,
      })
      assert.equal(request.typeName, 'a.v1.DoRequest')
    })

    it('or the flags do, in short or in full', async () => {
      const files = {
        'do.proto': `${HEAD} import "b.proto"; message Outer { message Inner {} } ${PAIR}`,
        'b.proto': `syntax = "proto3"; package b; ${messages}`,
      }
      for (const [request, full] of [
        ['A', 'b.A'],
        ['b.A', 'b.A'],
        ['Outer.Inner', 'a.v1.Outer.Inner'],
        ['Inner', 'a.v1.Outer.Inner'],
        ['a.v1.Outer', 'a.v1.Outer'],
      ] as const) {
        const found = await read(files, request, 'DoResponse')
        assert.deepEqual([found.request.typeName, found.response.typeName], [full, 'a.v1.DoResponse'])
      }
    })

    for (const [what, text, types, message, hint] of [
      ['it has several pairs', `${HEAD} ${PAIR} message GoRequest {} message GoResponse {}`, [], /has 2 pairs/, /--request-type/],
      ['it has none', `${HEAD} message A {}`, [], /has 0 pairs/, /--request-type/],
      [
        'it has several rpcs',
        `${HEAD} ${messages} service S { rpc Do(A) returns (B); rpc Go(A) returns (B); }`,
        [],
        /has 2 pairs/,
        /--request-type/,
      ],
      ['only one is named', `${HEAD} ${PAIR}`, ['DoRequest'], /go together/, undefined],
      [
        'one that is named is not there',
        `${HEAD} ${PAIR}`,
        ['Nope', 'DoResponse'],
        /no message "Nope"/,
        /the file has a\.v1\.DoRequest, a\.v1\.DoResponse/,
      ],
      [
        'one that is named is there twice',
        `${HEAD} message A { message X {} } message B { message X {} }`,
        ['X', 'A'],
        /more than one message "X"/,
        /the file has a\.v1\.A\.X, a\.v1\.B\.X/,
      ],
    ] as Array<[string, string, string[], RegExp, RegExp | undefined]>) {
      it(`and it is an error where ${what}`, async () => {
        await assert.rejects(read({ 'do.proto': text }, ...types), { name: 'UsageError', message, ...(hint == null ? {} : { hint }) })
      })
    }
  })
})
