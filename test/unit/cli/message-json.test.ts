import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { create, type DescMessage, fromBinary, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf'
import { type Any, AnySchema, anyPack, TimestampSchema } from '@bufbuild/protobuf/wkt'
import { callProtocol, toKnown } from '../../../src/cli/messages/call-protocol.ts'
import { decodeResponse, encodeRequest, exampleOf, MAX_BYTES_WITH_EXTENSIONS } from '../../../src/cli/messages/message-json.ts'
import type { DynamicSchemas } from '../../../src/cli/messages/message-schemas.ts'
import { readProtoFile } from '../../../src/cli/messages/proto-file.ts'
import { protoText } from '../../../src/cli/messages/proto-text.ts'
import { type SubnetError, UsageError } from '../../../src/primitives/errors.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import type { Session } from '../../../src/session/session.ts'
import { describe as described, field, file, message, Type } from '../../support/descriptors.ts'
import { PROTO_FOLDERS } from '../../support/proto-files.ts'
import { TempFolders } from '../../support/temp.ts'

const INT32 = 'a whole number from -2147483648 to 2147483647'
const UINT32 = 'a whole number from 0 to 4294967295'
const INT64 = 'a whole number of 64 bits, over 2^53 as text'
const UINT64 = 'a whole number of 64 bits without a sign, over 2^53 as text'

let schemas: DynamicSchemas

async function read(name: string): Promise<DynamicSchemas> {
  return readProtoFile(join(PROTO_FOLDERS[1] as string, name), {})
}

/** The request as it comes back from its bytes. */
function roundTrip(text: string, options = { emitDefaults: false }): JsonValue {
  return decodeResponse(encodeRequest(text, schemas), { ...schemas, response: schemas.request }, options)
}

function fault(text: string, known = schemas): UsageError {
  try {
    encodeRequest(text, known)
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error))
    return error
  }
  return assert.fail(`it was taken: ${text}`)
}

describe('messages with extensions', () => {
  const PROTO = `syntax = "proto2"; package ext;
    message CallRequest { optional string own = 1; extensions 100 to 300; }
    message CallResponse { optional CallRequest inner = 1; extensions 100 to 300; }
    message Extra { optional int32 n = 1; }
    extend CallRequest { optional int32 number = 100; repeated Extra extras = 101; optional int64 long = 102; }
    message Holder { extend CallResponse { optional Extra extra = 200; } }`
  const folders = new TempFolders()
  let known: DynamicSchemas

  before(async () => {
    const file = join(await folders.make(), 'ext.proto')
    await writeFile(file, PROTO)
    known = await readProtoFile(file, { requestType: 'CallRequest', responseType: 'CallResponse' })
  })

  after(async () => folders.clean())

  const shown = (bytes: Uint8Array): JsonValue => decodeResponse(bytes, known, { emitDefaults: false })

  it('are sent and shown with them, at every level', () => {
    const request = encodeRequest('{"own":"a","[ext.number]":7,"[ext.extras]":[{"n":1},{"n":2}]}', known)
    const inner = Buffer.concat([Buffer.from([0x0a, request.byteLength]), request])
    const extra = Buffer.from([0xc2, 0x0c, 2, 0x08, 9])
    assert.deepEqual(shown(Buffer.concat([inner, extra])), {
      inner: { own: 'a', '[ext.number]': 7, '[ext.extras]': [{ n: 1 }, { n: 2 }] },
      '[ext.Holder.extra]': { n: 9 },
    })
  })

  it('are told what is wrong in an extension, and where', () => {
    assert.equal(fault('{"[ext.number]":"x"}', known).message, `--data: [ext.number]: expected int32 (${INT32}), got "x"`)
    assert.equal(
      fault('{"[ext.extras]":[{"n":1},{"n":"x"}]}', known).message,
      `--data: [ext.extras][1].n: expected int32 (${INT32}), got "x"`,
    )
    assert.match(fault('{"[ext.long]":9007199254740993}', known).message, /^--data: \[ext\.long\]: 9007199254740993 is over 2\^53/)
    assert.match(fault('{"[ext.none]":1}', known).message, /^--data: \[ext\.none\]: ext\.CallRequest has no such field$/)
  })

  it('of a very large answer are left out, which is told', async () => {
    const padding = Buffer.concat(Array.from({ length: MAX_BYTES_WITH_EXTENSIONS / 4 + 1 }, () => Buffer.from([0xf8, 0x07, 0x80, 0x01])))
    const extra = Buffer.from([0xc2, 0x0c, 2, 0x08, 9])
    const session = {
      protocols: {
        call: async function* () {
          yield Buffer.concat([extra, padding])
          yield extra
        },
      },
    } as unknown as Session
    let told = 0
    const words = { peer: 'p', protocolId: '/x', data: '{}', emitDefaults: false, onHidden: () => void told++ }
    const answers = await Array.fromAsync(callProtocol(session, words, { ...known, kind: 'unary' }, {}))
    assert.deepEqual(answers, [{}, { '[ext.Holder.extra]': { n: 9 } }])
    assert.equal(told, 1)
  })
})

describe('a request in JSON', () => {
  before(async () => {
    schemas = await read('all/v1/all.proto')
  })

  for (const [what, given, back] of [
    ['nothing', '{}', {}],
    ['names as in JSON and as in the file', '{"snakeCase":"a"}', { snakeCase: 'a' }],
    ['names as in the file', '{"snake_case":"a"}', { snakeCase: 'a' }],
    ['numbers as text', '{"i32":"7","fl":"1.5"}', { i32: 7, fl: 1.5 }],
    ['numbers with an exponent', '{"i32":1e3}', { i32: 1_000 }],
    ['the least and the most of 64 bits', '{"i64":"-9223372036854775808","u64":"18446744073709551615"}', undefined],
    [
      '64 bits as numbers up to 2^53',
      '{"i64":-9007199254740991,"f64":9007199254740991}',
      { i64: '-9007199254740991', f64: '9007199254740991' },
    ],
    ['numbers over 2^53 that are whole all the same', '{"i64":9007199254740992}', { i64: '9007199254740992' }],
    [
      'numbers of any size where they are not of 64 bits',
      '{"db":9007199254740993,"fl":12345678901234567890}',
      { db: 9007199254740992, fl: 12345679395506094000 },
    ],
    ['what is no number', '{"db":"NaN","fl":"-Infinity"}', undefined],
    ['base64, of both kinds and without padding', '{"by":"YQ-_"}', { by: 'YQ+/' }],
    ['base64 without padding', '{"by":"YQ"}', { by: 'YQ==' }],
    ['enums by name', '{"color":"BLUE","colors":["RED",1]}', { color: 'BLUE', colors: ['RED', 'BLUE'] }],
    ['enums by a number that has no name', '{"color":7}', { color: 7 }],
    ['maps', '{"map":{"a":1},"inners":{"-1":{"x":"b"}},"bools":{"true":"c"}}', undefined],
    ['the name that is no name', '{"map":{"__proto__":1,"constructor":2}}', undefined],
    ['null for nothing', '{"st":null,"inner":null,"list":null}', {}],
    ['null in a oneof for nothing', '{"a":null,"b":2}', { b: 2 }],
    ['a time', '{"at":"2026-01-31T12:00:00.500Z"}', undefined],
    ['what is said to be any message', '{"any":{"@type":"type.googleapis.com/all.v1.Inner","x":"1"}}', undefined],
    ['JSON in a message', '{"value":[1,"a",null,{"b":true}],"struct":{"c":[]}}', undefined],
    ['JSON that is null', '{"value":null}', undefined],
    ['letters of every kind', '{"st":"äπ🚀\\u0000"}', { st: 'äπ🚀\u0000' }],
  ] as Array<[string, string, JsonValue | undefined]>) {
    it(`may have ${what}`, () => {
      assert.deepEqual(roundTrip(given), back ?? JSON.parse(given))
    })
  }

  it('is encoded as any other protobuf is', async () => {
    const bytes = encodeRequest('{"i32":150,"st":"testing","list":[1,2]}', schemas)
    assert.equal(Buffer.from(bytes).toString('hex'), '089601720774657374696e679201020102')
    const back = fromBinary(schemas.request, bytes) as unknown as { i32: number; st: string; list: number[] }
    assert.deepEqual([back.i32, back.st, back.list], [150, 'testing', [1, 2]])
  })

  for (const [name, range, least, most] of [
    ['i32', `int32 (${INT32})`, '-2147483648', '2147483647'],
    ['s32', `sint32 (${INT32})`, '-2147483648', '2147483647'],
    ['sf32', `sfixed32 (${INT32})`, '-2147483648', '2147483647'],
    ['u32', `uint32 (${UINT32})`, '0', '4294967295'],
    ['f32', `fixed32 (${UINT32})`, '0', '4294967295'],
    ['i64', `int64 (${INT64})`, '-9223372036854775808', '9223372036854775807'],
    ['s64', `sint64 (${INT64})`, '-9223372036854775808', '9223372036854775807'],
    ['sf64', `sfixed64 (${INT64})`, '-9223372036854775808', '9223372036854775807'],
    ['u64', `uint64 (${UINT64})`, '0', '18446744073709551615'],
    ['f64', `fixed64 (${UINT64})`, '0', '18446744073709551615'],
  ] as const) {
    it(`has ${name} from ${least} to ${most}, and nothing beyond`, () => {
      for (const value of [least, most]) {
        assert.equal(String((roundTrip(`{"${name}":"${value}"}`, { emitDefaults: true }) as Record<string, unknown>)[name]), value)
      }
      for (const value of [BigInt(least) - 1n, BigInt(most) + 1n]) {
        assert.equal(fault(`{"${name}":"${value}"}`).message, `--data: ${name}: expected ${range}, got "${value}"`)
      }
      for (const value of ['1.5', '"x"', 'true', '{}', '[1]', '1e400', '""']) {
        assert.ok(fault(`{"${name}":${value}}`).message.startsWith(`--data: ${name}: expected ${range}, got `), value)
      }
    })
  }

  for (const [given, problem] of [
    // what is no message at all
    ['[]', 'expected an object (all.v1.AllRequest), got []'],
    ['null', 'expected an object (all.v1.AllRequest), got null'],
    ['"x"', 'expected an object (all.v1.AllRequest), got "x"'],
    // what has no field
    ['{"nope":1}', 'nope: all.v1.AllRequest has no such field'],
    ['{"inner":{"nope":1}}', 'inner.nope: all.v1.Inner has no such field'],
    ['{"items":[{},{"nope":1}]}', 'items[1].nope: all.v1.Inner has no such field'],
    ['{"inners":{"7":{"nope":1}}}', 'inners["7"].nope: all.v1.Inner has no such field'],
    ['{"self":{"self":{"items":[{"nope":1}]}}}', 'self.self.items[0].nope: all.v1.Inner has no such field'],
    ['{"toString":1}', 'toString: all.v1.AllRequest has no such field'],
    ['{"__proto__":{}}', '__proto__: all.v1.AllRequest has no such field'],
    // what is of another type
    ['{"st":5}', 'st: expected string, got 5'],
    ['{"inner":{"x":5}}', 'inner.x: expected string, got 5'],
    ['{"inner":5}', 'inner: expected an object (all.v1.Inner), got 5'],
    ['{"inner":[{}]}', 'inner: expected an object (all.v1.Inner), got a list'],
    ['{"bo":"true"}', 'bo: expected bool, got "true"'],
    ['{"fl":1e39}', 'fl: expected float, got 1e39'],
    ['{"db":1e400}', 'db: expected double, got 1e400'],
    ['{"st":"\\ud800"}', 'st: expected string, got "\\ud800"'],
    [`{"st":${JSON.stringify(Array(5).fill('x'.repeat(40)))}}`, 'st: expected string, got a list'],
    [`{"i32":"${'9'.repeat(100)}"}`, `i32: expected int32 (${INT32}), got "${'9'.repeat(59)}…`],
    // lists
    ['{"list":3}', `list: expected a list of int32 (${INT32}), got 3`],
    ['{"list":{"0":3}}', `list: expected a list of int32 (${INT32}), got an object`],
    ['{"list":[1,"x"]}', `list[1]: expected int32 (${INT32}), got "x"`],
    ['{"list":[1,null]}', `list[1]: expected int32 (${INT32}), got null`],
    ['{"items":[{},{"y":1.5}]}', `items[1].y: expected int32 (${INT32}), got 1.5`],
    ['{"items":[[]]}', 'items[0]: expected an object (all.v1.Inner), got []'],
    // maps
    ['{"map":[]}', `map: expected an object with string keys and int32 (${INT32}) values, got []`],
    ['{"map":{"a":1,"b":"x"}}', `map["b"]: expected int32 (${INT32}), got "x"`],
    ['{"map":{"a":null}}', `map["a"]: expected int32 (${INT32}), got null`],
    ['{"inners":{"x":{}}}', `inners: expected int32 (${INT32}) as keys, got "x"`],
    ['{"bools":{"yes":"a"}}', 'bools: expected bool as keys, got "yes"'],
    ['{"inners":{"1":{"y":"a"}}}', `inners["1"].y: expected int32 (${INT32}), got "a"`],
    ['{"cm":{"a":"GREEN"}}', 'cm["a"]: expected all.v1.Color (one of RED, BLUE), got "GREEN"'],
    // enums and bytes
    ['{"color":"GREEN"}', 'color: expected all.v1.Color (one of RED, BLUE), got "GREEN"'],
    ['{"color":"red"}', 'color: expected all.v1.Color (one of RED, BLUE), got "red"'],
    ['{"color":1.5}', 'color: expected all.v1.Color (one of RED, BLUE), got 1.5'],
    ['{"colors":["RED","X"]}', 'colors[1]: expected all.v1.Color (one of RED, BLUE), got "X"'],
    ['{"by":"no base64!"}', 'by: expected bytes (base64), got "no base64!"'],
    ['{"by":[1,2]}', 'by: expected bytes (base64), got a list'],
    // of a oneof more than one
    ['{"a":"x","b":1}', 'b: a is set too, and a all.v1.AllRequest can have only one of them'],
    ['{"inner":{"p":"1","q":"2"}}', 'inner.q: inner.p is set too, and a all.v1.Inner can have only one of them'],
    ['{"items":[{"p":"1","q":"2"}]}', 'items[0].q: items[0].p is set too, and a all.v1.Inner can have only one of them'],
    // protobuf's own messages
    ['{"at":"yesterday"}', 'at: expected google.protobuf.Timestamp (as "2026-01-31T12:00:00Z"), got "yesterday"'],
    ['{"at":{"seconds":1}}', 'at: expected google.protobuf.Timestamp (as "2026-01-31T12:00:00Z"), got an object'],
    ['{"wrapped":"x"}', 'wrapped: expected google.protobuf.Int64Value, got "x"'],
    ['{"struct":[]}', 'struct: expected google.protobuf.Struct, got []'],
    [
      '{"any":{"@type":"type.googleapis.com/none"}}',
      'any: expected google.protobuf.Any (an object whose "@type" names a message that is described here), got an object',
    ],
    // numbers of 64 bits that JSON would round
    ['{"i64":9007199254740993}', 'i64: 9007199254740993 is over 2^53, and a number that large is rounded in JSON'],
    ['{"wrapped":-9007199254740993}', 'wrapped: -9007199254740993 is over 2^53, and a number that large is rounded in JSON'],
    [
      '{"self":{"self":{"u64":18446744073709550001}}}',
      'self.self.u64: 18446744073709550001 is over 2^53, and a number that large is rounded in JSON',
    ],
    ['{"longs":[1,9007199254740993]}', 'longs[1]: 9007199254740993 is over 2^53, and a number that large is rounded in JSON'],
    ['{"longMap":{"a":9007199254740993}}', 'longMap["a"]: 9007199254740993 is over 2^53, and a number that large is rounded in JSON'],
    // numbers are shown as they were typed
    ['{"i32":12345678901234567890}', `i32: expected int32 (${INT32}), got 12345678901234567890`],
    ['{"u64":-18446744073709551617}', `u64: expected uint64 (${UINT64}), got -18446744073709551617`],
    ['{"inner":{"y":1e10}}', `inner.y: expected int32 (${INT32}), got 1e10`],
    ['{"map":{"a":1.50}}', `map["a"]: expected int32 (${INT32}), got 1.50`],
    // days that their month does not have, and times that are none
    ['{"at":"2026-02-30T12:00:00Z"}', 'at: not a valid time: "2026-02-30T12:00:00Z"'],
    ['{"at":"2025-02-29T12:00:00.5+01:00"}', 'at: not a valid time: "2025-02-29T12:00:00.5+01:00"'],
    ['{"at":"2100-02-29T00:00:00Z"}', 'at: not a valid time: "2100-02-29T00:00:00Z"'],
    ['{"at":"2026-04-31T24:00:00Z"}', 'at: not a valid time: "2026-04-31T24:00:00Z"'],
    ['{"at":"2026-04-30T24:00:00Z"}', 'at: not a valid time: "2026-04-30T24:00:00Z"'],
    ['{"self":{"at":"2026-11-31T00:00:00Z"}}', 'self.at: not a valid time: "2026-11-31T00:00:00Z"'],
    [
      '{"any":{"@type":"type.googleapis.com/google.protobuf.Timestamp","value":"2026-02-30T00:00:00Z"}}',
      'any.value: not a valid time: "2026-02-30T00:00:00Z"',
    ],
    [
      '{"any":{"@type":"type.googleapis.com/all.v1.AllRequest","at":"2026-02-30T00:00:00Z"}}',
      'any.at: not a valid time: "2026-02-30T00:00:00Z"',
    ],
    [
      '{"any":{"@type":"x/all.v1.AllRequest","i64":9007199254740993}}',
      'any.i64: 9007199254740993 is over 2^53, and a number that large is rounded in JSON',
    ],
    // what no field alone is wrong with
    ['{"st":"a","st":"b"}', 'cannot decode message all.v1.AllRequest from JSON: duplicate object key "st"'],
    ['{"snakeCase":"a","snake_case":"b"}', 'cannot decode field all.v1.AllRequest.snake_case from JSON: set multiple times'],
  ] as const) {
    it(`is told what is wrong with it: ${given.slice(0, 60)}`, () => {
      assert.equal(fault(given).message, `--data: ${problem}`)
    })
  }

  it('that is not JSON is told so, and what it has to be', () => {
    for (const text of ['', '{', '{x: 1}', 'undefined', "{'a': 1}", '{"a":1}}']) {
      const { message, hint } = fault(text)
      assert.match(message, /^--data is not JSON: .+/)
      assert.equal(hint, '--data is a all.v1.AllRequest in protobuf JSON')
    }
  })

  it('is told which field may be meant', () => {
    assert.match(fault('{"snakecase":1}').hint ?? '', /^did you mean snakeCase\? fields of all\.v1\.AllRequest: i32, u32, /)
    assert.equal(fault('{"inner":{"wholly other":1}}').hint, 'fields of all.v1.Inner: x, y, p, q')
    assert.equal(fault('{"i64":9007199254740993}').hint, 'in quotes the number is sent exactly: "9007199254740993"')
  })

  it('is told of a field that is required', async () => {
    const old = await read('old.proto')
    assert.match(fault('{"age":1}', old).message, /OldRequest\.name.*required/)
    assert.match(fault('{"name":"a","rows":[{}]}', old).message, /OldRequest\.Rows\.cell.*required/)
  })

  it('that is nested very deeply fails like any other', () => {
    for (const depth of [150, 5_000, 200_000]) {
      const [open, close] = ['{"self":'.repeat(depth), '}'.repeat(depth)]
      assert.equal(fault(`${open}{}${close}`).message, '--data: nested too deeply')
      assert.match(fault(`{"value":${'['.repeat(depth)}${']'.repeat(depth)}}`).message, /^--data: nested too deeply$/)
      assert.match(
        fault(`{"st":${'['.repeat(depth)}${']'.repeat(depth)}}`).message,
        /^--data: (st: expected string, got a list|nested too deeply)$/,
      )
    }
  })

  it('is told no more of a large description than fits', () => {
    const fields = Array.from({ length: 5_000 }, (_, index) => field(`field_${index}`, index + 1, Type.STRING))
    const values = Array.from({ length: 5_000 }, (_, number) => ({ name: `VALUE_${number}`, number }))
    const large = file('large.proto', [message('Large', [...fields, field('e', 9_000, Type.ENUM, { typeName: '.test.E' })])], {
      enumType: [{ name: 'E', value: values }] as never,
    })
    const [request] = described([large], 'test.Large') as [DescMessage]
    const known = { ...schemas, request }
    const unknown = fault('{"nope":1}', known)
    assert.match(unknown.hint ?? '', /field29 and 4971 more$/)
    assert.match(fault('{"e":"x"}', known).message, /VALUE_29 and 4970 more\), got "x"$/)
  })

  it('is not sent where something is wrong with it', async () => {
    const session = { protocols: { call: () => assert.fail('it was sent') } } as never
    const words = { peer: 'bob', protocolId: '/x', data: '{"nope":1}', emitDefaults: false }
    await assert.rejects(callProtocol(session, words, { ...schemas, kind: 'unary' }, {}).next(), UsageError)
  })
})

describe('an answer in JSON', () => {
  before(async () => {
    schemas = await read('all/v1/all.proto')
  })

  it('shows what was set, and with defaults what was not', () => {
    assert.deepEqual(roundTrip('{"i32":0,"st":"","bo":false,"list":[]}'), {})
    const all = roundTrip('{}', { emitDefaults: true }) as Record<string, JsonValue>
    assert.deepEqual(
      [all['i32'], all['i64'], all['st'], all['bo'], all['by'], all['list'], all['map'], all['color'], 'inner' in all, 'a' in all],
      [0, '0', '', false, '', [], {}, 'RED', false, false],
    )
  })

  it('keeps the keys of a map, whatever they are called', () => {
    const text = '{"map":{"__proto__":1,"constructor":2,"":3}}'
    assert.equal(JSON.stringify(roundTrip(text)), text)
  })

  it('leaves fields out that are not described', () => {
    const bytes = Buffer.concat([encodeRequest('{"i32":1}', schemas), Buffer.from([0xc2, 0x3e, 1, 0x61])])
    assert.deepEqual(decodeResponse(bytes, { ...schemas, response: schemas.request }, { emitDefaults: false }), { i32: 1 })
  })

  function failure(bytes: Uint8Array, response = schemas.request): SubnetError {
    try {
      decodeResponse(bytes, { ...schemas, response }, { emitDefaults: false })
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error))
      assert.equal(error.code, 'REMOTE_FAILED')
      return error
    }
    return assert.fail('it was decoded')
  }

  it('of bytes that are no such message is a failure of the peer', () => {
    for (const hex of ['0a', 'ff', '72027878ff', '7202fffe', '08ffffffffffffffffffff01', '0b', '0c', '07']) {
      assert.match(failure(Buffer.from(hex, 'hex')).message, /^the answer is not a valid all\.v1\.AllRequest: /, hex)
    }
  })

  it('of a time that is none, and of a message that is not described, is one too', () => {
    const time = toBinary(TimestampSchema, create(TimestampSchema, { seconds: 2n ** 62n }))
    assert.match(failure(Buffer.concat([Buffer.from([0xba, 1, time.length]), time])).message, /Timestamp/)
    const any = toBinary(AnySchema, anyPack(TimestampSchema, create(TimestampSchema)) as Any)
    const stranger = Buffer.from(any)
    stranger.write('Timestomp', stranger.indexOf('Timestamp'))
    assert.match(failure(Buffer.concat([Buffer.from([0xe2, 1, stranger.length]), stranger])).message, /Timestomp/)
  })

  it('that is nested very deeply is one too', () => {
    let bytes = Buffer.alloc(0)
    for (let depth = 0; depth < 200; depth++) {
      bytes = Buffer.concat([Buffer.from([0xfa, 1]), Buffer.from([...varint(bytes.length)]), bytes])
    }
    assert.match(failure(bytes).message, /recursion/)
  })
})

function* varint(value: number): Generator<number> {
  let rest = value
  for (; rest > 127; rest >>>= 7) {
    yield (rest & 127) | 128
  }
  yield rest
}

describe('the example of a message', () => {
  before(async () => {
    schemas = await read('all/v1/all.proto')
  })

  it('has every field in it, of a oneof the first, and can be sent as it is', async () => {
    const example = exampleOf(schemas.request) as Record<string, JsonValue>
    assert.deepEqual(
      Object.keys(example),
      schemas.request.fields.filter(({ name }) => name !== 'b').map(({ jsonName }) => jsonName),
    )
    assert.deepEqual(
      [example['inner'], example['inners'], example['items']],
      [{ x: '', y: 0, p: '' }, { 0: { x: '', y: 0, p: '' } }, [{ x: '', y: 0, p: '' }]],
    )
    encodeRequest(JSON.stringify(example), schemas)
    for (const name of ['rich/v1/rich.proto', 'old.proto', 'edition.proto']) {
      const known = await read(name)
      encodeRequest(JSON.stringify(exampleOf(known.request)), known)
    }
  })

  it('can be sent as it is, of every message of this package', async () => {
    const root = new URL('../../../src/gen/', import.meta.url)
    let messages = 0
    for (const path of globSync('**/*_pb.ts', { cwd: root })) {
      const module: Record<string, DescMessage> = await import(pathToFileURL(join(root.pathname, path)).href)
      for (const desc of Object.values(module).filter((one) => one?.kind === 'message')) {
        fromJson(desc, exampleOf(desc))
        messages++
      }
    }
    assert.ok(messages > 40, `${messages}`)
  })

  it("of protobuf's own messages is in their own JSON", async () => {
    const wkt: Record<string, DescMessage> = (await import('@bufbuild/protobuf/wkt')) as never
    let messages = 0
    for (const desc of Object.values(wkt).filter((one) => one?.kind === 'message')) {
      fromJson(desc, exampleOf(desc))
      messages++
    }
    assert.ok(messages > 50, `${messages}`)
  })

  it('leaves a message in itself empty', () => {
    const [tree, left] = described(
      [
        file('tree.proto', [
          message('Tree', [field('left', 1, '.test.Left'), field('right', 2, '.test.Tree')]),
          message('Left', [field('tree', 1, '.test.Tree'), field('name', 2, Type.STRING)]),
        ]),
      ],
      'test.Tree',
      'test.Left',
    ) as [DescMessage, DescMessage]
    assert.deepEqual(exampleOf(tree), { left: { tree: {}, name: '' }, right: {} })
    assert.deepEqual(exampleOf(left), { tree: { left: {}, right: {} }, name: '' })
  })

  for (const [what, files] of [
    [
      'every field doubles',
      // 20 to the power of 12 fields
      Array.from({ length: 12 }, (_, level) =>
        message(
          `Level${level}`,
          Array.from({ length: 20 }, (_, index) => field(`f${index}`, index + 1, level === 11 ? Type.STRING : `.test.Level${level + 1}`)),
        ),
      ),
    ],
    [
      'there are very many fields',
      [
        message(
          'Level0',
          Array.from({ length: 60_000 }, (_, index) => field(`f${index}`, index + 1, '.test.Level0')),
        ),
      ],
    ],
    [
      'there are very many fields of a oneof, again and again',
      [
        message(
          'Level0',
          Array.from({ length: 499 }, (_, index) => field(`f${index}`, index + 1, '.test.Wide')),
        ),
        message(
          'Wide',
          Array.from({ length: 40_000 }, (_, index) => field(`f${index}`, index + 1, Type.STRING, { oneofIndex: 0 })),
          {
            oneofDecl: [{ name: 'one' }] as never,
          },
        ),
      ],
    ],
    [
      'each has the next in it, a thousand times',
      Array.from({ length: 1_000 }, (_, level) =>
        message(`Level${level}`, level === 999 ? [] : [field('next', 1, `.test.Level${level + 1}`)]),
      ),
    ],
  ] as const) {
    it(`has its bounds, and the text its size, where ${what}`, () => {
      const [desc] = described([file('wide.proto', [...files])], 'test.Level0') as [DescMessage]
      const startedAtMs = performance.now()
      const example = JSON.stringify(exampleOf(desc))
      fromJson(desc, JSON.parse(example))
      const text = protoText(desc.file)
      const ms = performance.now() - startedAtMs
      assert.ok(example.length < 50_000, `${example.length} characters`)
      assert.ok(text.length < 4_000_000, `${text.length} characters`)
      assert.ok(ms < 5_000, `${ms} ms`)
    })
  }
})

describe('what a peer tells of a protocol', () => {
  const told = { id: '/x', kind: 'unary', requestType: 'a.A', responseType: 'a.B' } as const

  it('may be too little to call it', () => {
    const fileDescriptorSet = new Uint8Array()
    for (const described of [
      { peerId: 'bob', protocol: told, fileDescriptorSet: null },
      { peerId: 'bob', protocol: { ...told, kind: null }, fileDescriptorSet },
      { peerId: 'bob', protocol: { ...told, requestType: null }, fileDescriptorSet },
      { peerId: 'bob', protocol: { ...told, responseType: null }, fileDescriptorSet },
    ]) {
      assert.throws(() => toKnown(described), {
        code: 'PROTOCOL_UNSUPPORTED',
        message: 'bob does not describe the messages of /x',
        hint: /--proto/,
      })
    }
  })

  it('may be nonsense', () => {
    for (const hex of ['', '00', 'ffff', '0a020a00']) {
      const fileDescriptorSet = Buffer.from(hex, 'hex')
      assert.throws(() => toKnown({ peerId: 'bob', protocol: told, fileDescriptorSet }), {
        code: 'REMOTE_FAILED',
        message: /^bob sent an invalid description of the messages of \/x: /,
      })
    }
  })
})
