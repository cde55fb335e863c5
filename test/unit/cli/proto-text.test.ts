import assert from 'node:assert/strict'
import { join } from 'node:path'
import { create, type DescFile, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema, file_google_protobuf_timestamp } from '@bufbuild/protobuf/wkt'
import { readFiles } from '../../../src/cli/messages/message-schemas.ts'
import { compileProto } from '../../../src/cli/messages/proto-compiler.ts'
import { protoText } from '../../../src/cli/messages/proto-text.ts'
import { field, file, message, Type } from '../../support/descriptors.ts'
import { bufBuild, meaningOf, PROTO_FOLDERS, protosIn, writeProtos } from '../../support/proto-files.ts'
import { TempFolders } from '../../support/temp.ts'

type FileInit = ReturnType<typeof file>

function filesOf(...files: FileInit[]): DescFile[] {
  const set: MessageInitShape<typeof FileDescriptorSetSchema> = { file: [file_google_protobuf_timestamp.proto, ...files] }
  return readFiles(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, set))).slice(1)
}

function textOf(one: FileInit): string {
  return protoText(filesOf(one)[0] as DescFile)
}

describe('the text of a described file', function () {
  this.timeout(30_000)
  const folders = new TempFolders()

  after(async () => folders.clean())

  for (const root of PROTO_FOLDERS) {
    it(`means what the file says, for our compiler and for buf: ${root.split('/').slice(-3).join('/')}`, async () => {
      const folder = await folders.make()
      const texts: Record<string, string> = {}
      const meanings = new Map<string, object>()
      for (const name of protosIn(root)) {
        const files = readFiles(toBinary(FileDescriptorSetSchema, await compileProto(join(root, name))))
        texts[name] = protoText(files.at(-1) as DescFile)
        meanings.set(name, meaningOf(files.at(-1) as DescFile))
      }
      await writeProtos(folder, texts)
      const theirs = readFiles(toBinary(FileDescriptorSetSchema, await bufBuild(folder, join(folder, 'all.binpb'))))
      for (const [name, meaning] of meanings) {
        const again = readFiles(toBinary(FileDescriptorSetSchema, await compileProto(join(folder, name)))).at(-1) as DescFile
        assert.deepEqual(meaningOf(again), meaning, texts[name])
        assert.equal(protoText(again), texts[name])
        assert.deepEqual(meaningOf(theirs.find(({ proto }) => proto.name === name) as DescFile), meaning, texts[name])
      }
    })
  }

  it('reads like one that was written', () => {
    const text = textOf(
      file(
        'greet.proto',
        [
          message('GreetRequest', [
            field('first_name', 1, Type.STRING),
            field('shown', 2, Type.INT64, { jsonName: 'displayed', options: { deprecated: true } }),
            field('at', 3, '.google.protobuf.Timestamp'),
            field('inner', 4, '.test.GreetRequest.Inner'),
          ]),
        ].map((one) => ({
          ...one,
          nestedType: [message('Inner', [field('x', 1, Type.BOOL)])],
          reservedRange: [{ start: 9, end: 12 }],
        })) as never,
        { dependency: ['google/protobuf/timestamp.proto'] },
      ),
    )
    assert.equal(
      text,
      `syntax = "proto3";

package test;

import "google/protobuf/timestamp.proto";

message GreetRequest {
  reserved 9 to 11;
  string first_name = 1;
  int64 shown = 2 [json_name = "displayed", deprecated = true];
  google.protobuf.Timestamp at = 3;
  GreetRequest.Inner inner = 4;

  message Inner {
    bool x = 1;
  }
}
`,
    )
  })

  it('keeps what a stranger wrote within its quotes, on its line', () => {
    const evil = '"; }\nmessage Evil { string x = 1 [default = "\u001b[31m\u009b\u202e\u2028'
    const text = textOf(
      file('evil.proto', [message('Evil', [field('x', 1, Type.STRING, { defaultValue: evil })], { reservedName: [evil] })], {
        syntax: 'proto2',
      }),
    )
    assert.match(text, /^[\n -~]*$/)
    assert.equal(text.split('\n').length, 9, text)
  })

  it('leaves a default out that is none', () => {
    const fields = [
      field('a', 1, Type.INT32, { defaultValue: '1]; string x = 2 [deprecated = true' }),
      field('b', 2, Type.BYTES, { defaultValue: '"; evil' }),
      field('c', 3, Type.BYTES, { defaultValue: '\\' }),
      field('d', 4, Type.BYTES, { defaultValue: '\\001a\\"' }),
      field('e', 5, Type.BOOL, { defaultValue: 'true' }),
    ]
    const text = textOf(file('odd.proto', [message('Odd', fields)], { syntax: 'proto2' }))
    assert.deepEqual(
      text.split('\n').filter((line) => line.startsWith('  ')),
      [
        '  optional int32 a = 1;',
        '  optional bytes b = 2;',
        '  optional bytes c = 3;',
        '  optional bytes d = 4 [default = "\\001a\\""];',
        '  optional bool e = 5 [default = true];',
      ],
    )
  })

  it('is there for an empty file, and one without a package', () => {
    assert.equal(textOf(file('empty.proto', [], { package: '' })), 'syntax = "proto3";\n')
    assert.equal(textOf(file('bare.proto', [message('Bare')], { package: '' })), 'syntax = "proto3";\n\nmessage Bare {\n}\n')
  })
})
