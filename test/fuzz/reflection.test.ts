import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import {
  type DescriptorProto,
  type FieldDescriptorProto,
  FieldOptionsSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  MessageOptionsSchema,
} from '@bufbuild/protobuf/wkt'
import fc from 'fast-check'
import { toKnown } from '../../src/cli/messages/call-protocol.ts'
import { describeProtocol } from '../../src/cli/messages/describe-protocol.ts'
import { decodeResponse, encodeRequest } from '../../src/cli/messages/message-json.ts'
import type { DynamicSchemas } from '../../src/cli/messages/message-schemas.ts'
import { compileProto } from '../../src/cli/messages/proto-compiler.ts'
import { ReflectionRequestSchema, ReflectionResponseSchema } from '../../src/gen/subnet/reflection/v1/reflection_pb.ts'
import { UsageError } from '../../src/primitives/errors.ts'
import { printableLines } from '../../src/primitives/printable.ts'
import { ProtocolError } from '../../src/protocol/api/errors.ts'
import { isProtocolId } from '../../src/protocol/api/host.ts'
import { ReflectionCaller, ReflectionProtocol } from '../../src/protocol/builtin/reflection.ts'
import { TaskProtocol } from '../../src/protocol/builtin/task.ts'
import { AskingHost, outcomeOf, request, sentOf } from '../support/fuzz-hosts.ts'
import { fuzz } from '../support/fuzzing.ts'
import { MemoryHost } from '../support/memory-network.ts'
import { mutatedMessage } from '../support/mutations.ts'
import { PROTO_FOLDERS } from '../support/proto-files.ts'

const ID = '/subnet/reflection/1.0.0'
const MIB = 1 << 20
const MAX_CUT = 500
const TYPE_NAME = /^[A-Za-z_][\w.]{0,511}$/

/** What descriptors are made of. */
const BASES = [
  [0, 'task_protocol.proto'],
  [0, 'subnet/reflection/v1/reflection.proto'],
  [1, 'old.proto'],
  [1, 'edition.proto'],
  [1, 'rich/v1/shared.proto'],
  [1, 'rich/google/v1/google.proto'],
  [1, 'all/v1/all.proto'],
] as const

describe('reflection, whatever it is asked', function () {
  this.timeout(0)

  it('answers what can be understood, and resets the rest', async () => {
    const [host, asker] = await Promise.all([MemoryHost.create(), MemoryHost.create()])
    const reflection = new ReflectionProtocol(host)
    new TaskProtocol(host)
    const valid = ['', ID, '/subnet/task_protocol/1.0.0', '/none'].map((protocolId) =>
      toBinary(ReflectionRequestSchema, create(ReflectionRequestSchema, { protocolId })),
    )
    const bytes = fc.oneof(fc.constantFrom(...valid), mutatedMessage(fc.constantFrom(...valid)), fc.uint8Array({ maxLength: 60 }))
    await fuzz(sentOf(bytes, MAX_CUT), { runs: 6_000, target: 'reflection: questions' }, MIB, async (sent) => {
      const answer = await request(host, ID, asker.peerId, sent)
      if (answer != null) {
        fromBinary(ReflectionResponseSchema, answer)
      }
      await turn()
      assert.equal(reflection.handling, 0)
    })
  })
})

describe('reflection, whatever is answered', function () {
  this.timeout(0)

  it('gives protocols that are well formed, or a failure that has a name', async () => {
    const [host, peer] = await Promise.all([AskingHost.create(), MemoryHost.create()])
    const caller = new ReflectionCaller(host)
    const id = '/test/greet/1.0.0'
    const valid = toBinary(
      ReflectionResponseSchema,
      create(ReflectionResponseSchema, {
        protocols: [
          { id, kind: 1, requestType: 'a.Request', responseType: 'a.Response' },
          { id: '/test/other/1.0.0', kind: 2, requestType: 'x', responseType: '' },
        ],
        fileDescriptorSet: new Uint8Array([10, 2, 8, 1]),
      }),
    )
    const bytes = fc.oneof(fc.constant(valid), mutatedMessage(valid), mutatedMessage(valid), fc.uint8Array({ maxLength: 100 }))
    const check = (one: { id: string; kind: unknown; requestType: string | undefined; responseType: string | undefined }): void => {
      assert.ok(isProtocolId(one.id), one.id)
      assert.ok([one.requestType, one.responseType].every((type) => type == null || TYPE_NAME.test(type)))
      assert.ok([undefined, 'unary', 'server-streaming'].includes(one.kind as string))
    }
    await fuzz(sentOf(bytes, MAX_CUT), { runs: 8_000, target: 'reflection: answers' }, MIB, async (sent) => {
      host.answer = sent
      const listed = await outcomeOf(caller.list(peer.peerId))
      listed?.forEach(check)
      const described = await outcomeOf(caller.describe(peer.peerId, id))
      if (described != null) {
        check(described)
      }
    })
  })
})

/** The last costs as much as ten others. */
const bases = fc.oneof(
  { weight: 12, arbitrary: fc.nat({ max: BASES.length - 2 }) },
  { weight: 1, arbitrary: fc.constant(BASES.length - 1) },
)

describe('descriptors, whatever is in them', function () {
  this.timeout(0)
  const sets: Uint8Array[] = []

  before(async () => {
    for (const [folder, name] of BASES) {
      sets.push(toBinary(FileDescriptorSetSchema, await compileProto(join(PROTO_FOLDERS[folder] as string, name))))
    }
  })

  it('with bytes that were changed, are refused, or can be described, called and answered', async () => {
    const bytes = fc.oneof(
      { weight: 6, arbitrary: mutatedMessage(bases.map((base) => sets[base] as Uint8Array)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    )
    const input = fc.record({ bytes, data: fc.nat(), answer: fc.uint8Array({ maxLength: 40 }) })
    await fuzz(input, { runs: 12_000, target: 'descriptors: bytes' }, MIB, ({ bytes, data, answer }) => tryOut(bytes, data, answer))
  })

  it('with anything changed in their files, are refused, or can be described, called and answered', async () => {
    const change = fc.record({ kind: fc.constantFrom(...CHANGES), at: fc.nat(), value: fc.nat() })
    const input = fc.record({
      base: bases,
      changes: fc.array(change, { minLength: 1, maxLength: 4 }),
      data: fc.nat(),
      answer: fc.uint8Array({ maxLength: 40 }),
    })
    // a name in JSON with a control character in it, which a terminal took for a command
    const found = {
      base: 0,
      changes: [{ kind: 'json name', at: 0, value: JSON_NAMES.indexOf('\u009b') }],
      data: 0,
      answer: new Uint8Array(),
    } as const
    await fuzz(
      input,
      { runs: 14_000, target: 'descriptors: files', examples: [{ ...found, changes: [...found.changes] }] },
      MIB,
      ({ base, changes, data, answer }) => {
        const set = fromBinary(FileDescriptorSetSchema, sets[base] as Uint8Array)
        for (const { kind, at, value } of changes) {
          applyChange(set, kind, at, value)
        }
        tryOut(toBinary(FileDescriptorSetSchema, set), data, answer, namesIn(set))
      },
    )
  })
})

/** JSON that is sent where it is not the example. */
const DATA = [
  '{}',
  '[]',
  '{"a":1}',
  '{"taskId":"x","payload":"eA=="}',
  '{"self":{"items":[{}]}}',
  '{"at":"x"}',
  '{"value":1}',
  '{"protocols":[{"kind":1}]}',
]

function tryOut(fileDescriptorSet: Uint8Array, data: number, answer: Uint8Array, names = messagesOf(fileDescriptorSet)): void {
  const [requestType, responseType] = [data, data + 1].map((index) => names[index % names.length] ?? 'none') as [string, string]
  const protocol = { id: '/test/greet/1.0.0', kind: 'unary', requestType, responseType } as const
  const described = { peerId: 'bob', protocol, fileDescriptorSet }
  let known: DynamicSchemas
  try {
    known = toKnown(described)
  } catch (error) {
    assert.ok(error instanceof ProtocolError && error.code === 'REMOTE_FAILED', error instanceof Error ? error.stack : String(error))
    return
  }
  const { text, example } = describeProtocol(described)
  assert.equal(printableLines(text), text)
  for (const json of [JSON.stringify(example), DATA[data % DATA.length] as string]) {
    const bytes = encoded(json, known)
    decoded(bytes ?? answer, { ...known, response: known.request })
  }
  decoded(answer, known)
}

function encoded(json: string, known: DynamicSchemas): Uint8Array | undefined {
  try {
    return encodeRequest(json, known)
  } catch (error) {
    assert.ok(error instanceof UsageError, error instanceof Error ? error.stack : String(error))
    return undefined
  }
}

function decoded(bytes: Uint8Array, known: DynamicSchemas): void {
  for (const emitDefaults of [true, false]) {
    try {
      JSON.stringify(decodeResponse(bytes, known, { emitDefaults }))
    } catch (error) {
      assert.ok(error instanceof ProtocolError && error.code === 'REMOTE_FAILED', error instanceof Error ? error.stack : String(error))
    }
  }
}

/** The names of messages in there, as far as there are any. */
function messagesOf(fileDescriptorSet: Uint8Array): string[] {
  try {
    return namesIn(fromBinary(FileDescriptorSetSchema, fileDescriptorSet))
  } catch {
    return []
  }
}

function namesIn({ file }: FileDescriptorSet): string[] {
  const inMessage = (scope: string, { name, nestedType }: DescriptorProto): string[] => {
    const own = scope === '' ? name : `${scope}.${name}`
    return [own, ...nestedType.flatMap((one) => inMessage(own, one))]
  }
  return file.toReversed().flatMap((one) => one.messageType.flatMap((message) => inMessage(one.package, message)))
}

const NAMES = [
  '',
  'x',
  'Request',
  'constructor',
  '__proto__',
  'toString',
  '1a',
  'a b',
  'größe',
  '\u001b[31m',
  'google',
  'x'.repeat(300),
  '$typeName',
]
const PACKAGES = ['', 'google.protobuf', 'a', 'a.b', 'google', 'a..b', 'constructor', 'x\n']
const NUMBERS = [0, 1, 2, -1, 5, 18_999, 19_500, 536_870_911, 536_870_912, 2_147_483_647, -2_147_483_648]
const SYNTAXES = ['', 'proto2', 'proto3', 'editions', 'proto4']
const EDITIONS = [0, 900, 998, 999, 1_000, 1_001, 1_002, 9_999, 99_999]
const VALUES = ['', 'x', '1', '-1', 'inf', 'nan', 'true', '1e999', '"', '\\', '99999999999999999999', 'KIND_A', '\u0000']
const JSON_NAMES = ['', 'x', '__proto__', 'constructor', 'a b', '"', '\u009b', '@type', '\u2028', '[a.b]']
const CHANGES = [
  ...['copy file', 'drop file', 'turn files', 'file name', 'import', 'import itself', 'drop imports', 'package', 'syntax', 'edition'],
  ...['copy message', 'drop message', 'message name', 'nest', 'map entry', 'drop enums', 'empty enum', 'enum number', 'enum name'],
  ...[
    'copy field',
    'drop field',
    'field name',
    'field number',
    'field type',
    'field label',
    'type name',
    'own type',
    'json name',
    'default',
  ],
  ...['oneof', 'no oneof', 'optional', 'packed', 'oneof name', 'reserved', 'features'],
] as const
type ChangeKind = (typeof CHANGES)[number]

/** One change, to the file, message and field that `at` points to; nothing where there is none. */
function applyChange(set: FileDescriptorSet, kind: ChangeKind, at: number, value: number): void {
  const file = pick(set.file, at)
  if (file == null || changeFile(set, file, kind, value)) {
    return
  }
  const message = pick(everyMessage(file), at)
  if (message == null || changeMessage(file, message, kind, value)) {
    return
  }
  const field = pick(message.field, at)
  if (field != null) {
    changeField(message, field, kind, value)
  }
}

function pick<T>(items: readonly T[], index: number): T | undefined {
  return items[index % items.length]
}

function everyMessage({ messageType }: FileDescriptorProto): DescriptorProto[] {
  const within = (message: DescriptorProto): DescriptorProto[] => [message, ...message.nestedType.flatMap(within)]
  return messageType.flatMap(within)
}

function all(items: readonly object[] | undefined, change: object): void {
  for (const item of items ?? []) {
    Object.assign(item, change)
  }
}

function changeFile(set: FileDescriptorSet, file: FileDescriptorProto, kind: ChangeKind, value: number): boolean {
  const changes: Partial<Record<ChangeKind, () => unknown>> = {
    'copy file': () =>
      set.file.push(create(FileDescriptorProtoSchema, { ...file, name: pick(['copy.proto', file.name], value) as string })),
    'drop file': () => set.file.splice(set.file.indexOf(file), 1),
    'turn files': () => set.file.reverse(),
    'file name': () => Object.assign(file, { name: pick([...NAMES, ...set.file.map(({ name }) => name)], value) }),
    import: () => file.dependency.push(pick([...set.file.map(({ name }) => name), 'none.proto'], value) as string),
    'import itself': () => file.dependency.push(file.name),
    'drop imports': () => file.dependency.splice(0),
    package: () => Object.assign(file, { package: pick(PACKAGES, value) }),
    syntax: () => Object.assign(file, { syntax: pick(SYNTAXES, value) }),
    edition: () => Object.assign(file, { syntax: 'editions', edition: pick(EDITIONS, value) }),
    'drop enums': () => file.enumType.splice(0),
  }
  changes[kind]?.()
  return Object.hasOwn(changes, kind)
}

function changeMessage(file: FileDescriptorProto, message: DescriptorProto, kind: ChangeKind, value: number): boolean {
  const enums = [...file.enumType, ...everyMessage(file).flatMap(({ enumType }) => enumType)]
  const values = pick(enums, value)
  const changes: Partial<Record<ChangeKind, () => unknown>> = {
    'copy message': () => file.messageType.push(message),
    'drop message': () => file.messageType.splice(value % Math.max(1, file.messageType.length), 1),
    'message name': () => Object.assign(message, { name: pick([...NAMES, ...file.messageType.map(({ name }) => name)], value) }),
    nest: () => message.nestedType.push(...structuredClone(file.messageType.slice(0, 2))),
    'map entry': () => Object.assign(message, { options: create(MessageOptionsSchema, { mapEntry: true }) }),
    'empty enum': () => values?.value.splice(0),
    'enum number': () => all(values?.value, { number: pick(NUMBERS, value) }),
    'enum name': () => all(values?.value, { name: pick(NAMES, value) }),
    'oneof name': () => all(message.oneofDecl, { name: pick(NAMES, value) }),
    reserved: () => message.reservedName.push(pick(NAMES, value) as string),
  }
  changes[kind]?.()
  return Object.hasOwn(changes, kind)
}

function changeField(message: DescriptorProto, field: FieldDescriptorProto, kind: ChangeKind, value: number): void {
  const others = message.field.map(({ typeName }) => typeName)
  const changes: Partial<Record<ChangeKind, () => object>> = {
    'copy field': () => ({ ...(message.field.push(field) && {}) }),
    'drop field': () => message.field.splice(message.field.indexOf(field), 1) && {},
    'field name': () => ({ name: pick(NAMES, value) }),
    'field number': () => ({ number: pick(NUMBERS, value) }),
    'field type': () => ({ type: value % 20 }),
    'field label': () => ({ label: value % 5 }),
    'type name': () => ({
      typeName: pick([...others, '', '.', '.none', 'x', '.google.protobuf.Timestamp', '.google.protobuf.Value'], value),
    }),
    'own type': () => ({ type: 11, typeName: `.${message.name}` }),
    'json name': () => ({ jsonName: pick(JSON_NAMES, value) }),
    default: () => ({ defaultValue: pick(VALUES, value) }),
    oneof: () => ({ oneofIndex: pick(NUMBERS, value) }),
    'no oneof': () => ({ oneofIndex: undefined }),
    optional: () => ({ proto3Optional: true }),
    packed: () => ({ options: create(FieldOptionsSchema, { packed: value % 2 === 0 }) }),
    features: () => {
      const features = { fieldPresence: value % 5, repeatedFieldEncoding: value % 4, messageEncoding: value % 3 }
      return { options: create(FieldOptionsSchema, { features } as MessageInitShape<typeof FieldOptionsSchema>) }
    },
  }
  Object.assign(field, changes[kind]?.())
}
