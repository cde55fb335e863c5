import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { compileProto } from '../../src/cli/messages/proto-compiler.ts'
import { linkedProject } from './linked-project.ts'

export const GREET = '/test/greet/1.0.0'
export const COUNT = '/test/count/1.0.0'

const GREET_PROTO = `syntax = "proto3";

package greet.v1;

message GreetRequest {
  string name = 1;
  int32 times = 2;
  Mood mood = 3;
  repeated Person friends = 4;
}

message Person {
  string name = 1;
  int64 age = 2;
}

message GreetResponse {
  string text = 1;
  int64 count = 2;
  bool last = 3;
}

enum Mood {
  MOOD_UNSPECIFIED = 0;
  MOOD_GOOD = 1;
}
`

const DRIVER = `import { createFileRegistry, fromBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'

const set = fromBinary(FileDescriptorSetSchema, Buffer.from('DESCRIPTORS', 'base64'))
const registry = createFileRegistry(set)
export const request = registry.getMessage('greet.v1.GreetRequest')
export const response = registry.getMessage('greet.v1.GreetResponse')

const tell = (event) => process.stdout.write(JSON.stringify({ event, atMs: Date.now() }) + '\\n')
const held = new Set()
export async function hold() {
  tell('held')
  await new Promise((resolve) => held.add(resolve))
}
export function release() {
  held.forEach((resolve) => resolve())
  held.clear()
}
export async function left(signal) {
  tell('waits')
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
  tell('left')
  throw signal.reason
}
`

/** The default export is a class. */
const GREET_MODULE = `import { ProtobufProtocol } from 'subnet-cli'
import { left, release, request, response } from './driver.mjs'

export default class Greet extends ProtobufProtocol {
  constructor(node) {
    super(node, { id: '${GREET}', request, response })
  }

  async handleRequest({ signal }, { name, times, friends }) {
    if (name === 'fail') throw new Error('out of words')
    if (name === 'wait') await left(signal)
    if (name === 'release') release()
    if (name === 'evil') return { text: '\\u001b[31mred\\u009b31m\\u202e\\u0007 end' }
    if (name === '') return {}
    return { text: \`Hello, \${[name, ...friends.map((friend) => friend.name)].join(' and ')}!\`, count: BigInt(times) }
  }
}
`

/** The default export is a function. */
const COUNT_MODULE = `import { ProtobufStreamingProtocol } from 'subnet-cli'
import { hold, left, request, response } from './driver.mjs'

class Count extends ProtobufStreamingProtocol {
  async *handleRequest({ signal }, { name, times }) {
    for (let count = 1; count <= times; count++) {
      if (count === 2 && name === 'hold') await hold()
      if (count === 2 && name === 'wait') await left(signal)
      if (count === 3 && name === 'fail') throw new Error('out of numbers')
      yield { count: BigInt(count), text: name, last: count === times }
    }
  }
}

export default async (node) => {
  new Count(node, { id: '${COUNT}', request, response })
}
`

/** TypeScript, as Node runs it: types only are taken away. */
const TYPED_MODULE = `import { type ProtocolHost, ProtocolBase, type RequestContext } from 'subnet-cli'

const bytes = { encode: (message: Uint8Array) => message, decode: (message: Uint8Array) => message }

export default class Raw extends ProtocolBase<Uint8Array, Uint8Array> {
  constructor(node: ProtocolHost) {
    super(node, { id: '/test/raw/1.0.0', request: bytes, response: bytes })
  }

  protected override async handleRequest(_context: RequestContext, request: Uint8Array): Promise<Uint8Array> {
    return request
  }
}
`

const BROKEN = {
  'none.mjs': 'export const other = 1',
  'number.mjs': 'export default 42',
  'throws.mjs': "throw new Error('not\\nin the mood')",
  'syntax.mjs': 'export default class {',
  'refuses.mjs': "export default () => { throw new Error('no node is good enough') }",
  'nothing.mjs': 'export default () => undefined',
  'class-nothing.mjs': 'export default class Nothing {}',
  'bad-id.mjs': `import { ProtobufProtocol } from 'subnet-cli'
import { request, response } from './driver.mjs'
export default (node) => { new ProtobufProtocol(node, { id: 'no id', request, response }) }`,
}

/**
 * A folder with modules for --protocol: `greet.mjs`, `count.mjs`, `raw.ts`, broken ones; and with `greet.proto`, what the first two speak. They import
 * this package, or the version of it at `root`.
 */
export async function callModules(folder: string, root?: string): Promise<void> {
  await linkedProject(folder, root)
  const proto = join(folder, 'greet.proto')
  await writeFile(proto, GREET_PROTO)
  const descriptors = Buffer.from(toBinary(FileDescriptorSetSchema, await compileProto(proto))).toString('base64')
  const files = {
    'package.json': '{"type":"module"}',
    'driver.mjs': DRIVER.replace('DESCRIPTORS', descriptors),
    'greet.mjs': GREET_MODULE,
    'count.mjs': COUNT_MODULE,
    'raw.ts': TYPED_MODULE,
    ...BROKEN,
  }
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text)
  }
}
