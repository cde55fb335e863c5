import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { homeAt } from '../../../src/node/home/home.ts'
import { loadSettings } from '../../../src/node/home/load-settings.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { socketPath } from '../../../src/session/control/control-socket.ts'
import { type RunningNode, serve } from '../../../src/session/serve.ts'
import { Lab } from '../../support/nodes.ts'

const SERVICE = '/subnet.control.v1.ControlService/'
const PEER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const JSON_BODY = 'application/json'
const PROTOBUF = 'application/proto'
const JSON_STREAM = 'application/connect+json'
const PROTOBUF_STREAM = 'application/connect+proto'
const GARBAGE = Buffer.alloc(20, 255)
const MIB = 1 << 20

interface Answer {
  status: number | undefined
  body: Buffer
}

/** One message of a call that streams. @param length what its envelope says it has */
function envelope(content: object | Buffer, { flags = 0, length }: { flags?: number; length?: number } = {}): Buffer {
  const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content))
  const head = Buffer.from([flags, 0, 0, 0, 0])
  head.writeUInt32BE(length ?? bytes.byteLength, 1)
  return Buffer.concat([head, bytes])
}

/** The error at the end of a call that streams. */
function endOf(body: Buffer): { code: string; message: string } {
  let at = 0
  while (body[at] !== 2) {
    at += 5 + body.readUInt32BE(at + 1)
  }
  return JSON.parse(body.subarray(at + 5).toString()).error
}

/** One line, and nothing of how or where this program runs. */
function isPlain(message: string): boolean {
  return message !== '' && !/\n|node_modules|\.[jt]s\b|file:|\bat \w+ \(/.test(message)
}

describe('a request on the control socket that is not well-formed', function () {
  this.timeout(60_000)
  const lab = new Lab()
  let served: RunningNode
  let path: string

  before(async () => {
    const home = homeAt(await lab.folder())
    const { settings } = await loadSettings({ flags: { listen: ['/ip4/127.0.0.1/tcp/0'], portMapping: false }, env: {}, home })
    served = await serve({ home, settings, agent: 'test/1.0.0', log: createLogger('error', (line) => process.stderr.write(line)) })
    path = socketPath(home)
  })

  after(async () => {
    await served.stop()
    await lab.clean()
  })

  async function http1(method: string, type: string | undefined, body: Buffer | string, headers = {}, verb = 'POST'): Promise<Answer> {
    const contentType = type == null ? {} : { 'content-type': type }
    const call = request({ socketPath: path, path: `${SERVICE}${method}`, method: verb, headers: { ...contentType, ...headers } })
    // of a request that is answered before it has come whole, the rest is not read
    call.on('error', () => undefined)
    call.end(body)
    const [response] = await once(call, 'response')
    return { status: response.statusCode, body: Buffer.concat(await response.toArray()) }
  }

  async function http2(method: string, type: string, body: Buffer | string, headers = {}): Promise<Answer> {
    const session = connectHttp2('http://node', { createConnection: () => connect(path) })
    const call = session.request({ ':method': 'POST', ':path': `${SERVICE}${method}`, 'content-type': type, ...headers })
    call.end(body)
    const [answered] = await once(call, 'response')
    const answer = { status: answered[':status'], body: Buffer.concat(await call.toArray()) }
    session.destroy()
    return answer
  }

  const unary: Array<{
    name: string
    method?: string
    type?: string | undefined
    body?: Buffer | string
    headers?: object
    verb?: string
    status: number
    code: string
    says: RegExp
  }> = [
    { name: 'a body that is no JSON', body: '{', status: 400, code: 'invalid_argument', says: /cannot decode.*IdRequest from JSON/ },
    { name: 'no body at all', body: '', status: 400, code: 'invalid_argument', says: /end of JSON/ },
    { name: 'JSON that is no object', body: '[]', status: 400, code: 'invalid_argument', says: /IdRequest/ },
    {
      name: 'a field of another type',
      method: 'Ping',
      body: '{"peer":5}',
      status: 400,
      code: 'invalid_argument',
      says: /peer.*string, got 5/,
    },
    {
      name: 'a body that is no protobuf',
      type: PROTOBUF,
      body: GARBAGE,
      status: 400,
      code: 'invalid_argument',
      says: /is not a valid .*IdRequest/,
    },
    {
      name: 'a protobuf that ends too early',
      method: 'Ping',
      type: PROTOBUF,
      body: Buffer.from([0x0a, 0x50, 0x01]),
      status: 400,
      code: 'invalid_argument',
      says: /is not a valid .*PingRequest: premature EOF/,
    },
    {
      name: 'a text that is not UTF-8',
      method: 'Ping',
      type: PROTOBUF,
      body: Buffer.from([0x0a, 0x02, 0xff, 0xfe]),
      status: 400,
      code: 'invalid_argument',
      says: /utf-8/,
    },
    { name: 'a content type of its own', type: 'text/plain', status: 415, code: 'invalid_argument', says: /expected application\/json/ },
    { name: 'no content type', type: undefined, status: 415, code: 'invalid_argument', says: /expected application\/json/ },
    { name: 'the content type of a stream', type: JSON_STREAM, status: 415, code: 'invalid_argument', says: /expected application\/json/ },
    {
      name: 'gRPC',
      type: 'application/grpc+proto',
      body: GARBAGE,
      status: 415,
      code: 'invalid_argument',
      says: /expected application\/json/,
    },
    { name: 'a method that does not exist', method: 'Nope', status: 404, code: 'unimplemented', says: /no such method/ },
    { name: 'a GET', verb: 'GET', body: '', status: 405, code: 'invalid_argument', says: /POST/ },
    {
      name: 'a message of more than 1 MiB',
      body: JSON.stringify({ x: 'x'.repeat(2 * MIB) }),
      status: 429,
      code: 'resource_exhausted',
      says: /larger than .* 1048576/,
    },
    {
      name: 'a protobuf of more than 1 MiB',
      type: PROTOBUF,
      body: Buffer.alloc(2 * MIB),
      status: 429,
      code: 'resource_exhausted',
      says: /larger than .* 1048576/,
    },
    { name: 'a Host that is none', headers: { host: '[' }, status: 400, code: 'invalid_argument', says: /host/ },
    { name: 'a timeout that is no number', headers: { 'connect-timeout-ms': 'soon' }, status: 400, code: 'invalid_argument', says: /soon/ },
    {
      name: 'a timeout of months',
      headers: { 'connect-timeout-ms': '9999999999' },
      status: 400,
      code: 'invalid_argument',
      says: /2147483647/,
    },
    { name: 'a compression of its own', headers: { 'content-encoding': 'zip' }, status: 501, code: 'unimplemented', says: /"zip"/ },
    ...['-1', '0', '1e300', '"NaN"', '"Infinity"'].map((timeoutMs) => ({
      name: `a deadline of ${timeoutMs}`,
      method: 'Ping',
      body: `{"peer":"${PEER}","timeoutMs":${timeoutMs}}`,
      status: 400,
      code: 'invalid_argument',
      says: /timeoutMs: .* more than 0/,
    })),
    ...['-1', '"NaN"'].map((maxAgeMs) => ({
      name: `an age of ${maxAgeMs}`,
      method: 'Resolve',
      body: `{"peer":"${PEER}","maxAgeMs":${maxAgeMs}}`,
      status: 400,
      code: 'invalid_argument',
      says: /maxAgeMs: .* 0 or more/,
    })),
    {
      name: 'a tier that does not exist',
      method: 'Resolve',
      body: `{"peer":"${PEER}","tiers":["x"]}`,
      status: 400,
      code: 'invalid_argument',
      says: /tiers: "x"/,
    },
    {
      name: 'a class that does not exist',
      method: 'ChainRegister',
      body: '{"class":"boss"}',
      status: 400,
      code: 'invalid_argument',
      says: /class: "boss"/,
    },
    {
      name: 'a protocol id that is none',
      method: 'DescribeProtocol',
      body: `{"peer":"${PEER}","protocolId":"x"}`,
      status: 400,
      code: 'invalid_argument',
      says: /not a protocol id: "x"/,
    },
    {
      name: 'an alias that is none',
      method: 'SetAlias',
      body: `{"alias":"a b","peer":"${PEER}"}`,
      status: 400,
      code: 'invalid_argument',
      says: /not a valid alias: "a b"/,
    },
    ...['Connect', 'ChainPublish'].map((method) => ({
      name: `a multiaddr of ${method} that is none`,
      method,
      body: JSON.stringify(method === 'Connect' ? { multiaddr: '/ip4/999.1.1.1' } : { multiaddrs: ['/ip4/999.1.1.1'] }),
      status: 400,
      code: 'invalid_argument',
      says: /not a multiaddr/,
    })),
    ...['Ping', 'Resolve', 'Disconnect', 'ListProtocols', 'ChainLookup'].flatMap((method) =>
      ['', 'nobody', '/ip4/1.2.3.4', '/p2p/', '\u0000'].map((peer) => ({
        name: `the peer ${JSON.stringify(peer)} of ${method}`,
        method,
        body: JSON.stringify({ peer }),
        status: 400,
        code: 'invalid_argument',
        says: /not a peer|not a multiaddr|without a peer ID/,
      })),
    ),
  ]

  for (const each of unary) {
    const { name, method = 'Id', body = '{}', headers, verb, status, code, says } = each
    it(`is answered ${status} for ${name}`, async () => {
      const answer = await http1(method, 'type' in each ? each.type : JSON_BODY, body, headers, verb)
      const told = JSON.parse(answer.body.toString())
      assert.deepEqual([answer.status, told.code], [status, code])
      assert.match(told.message, says)
      assert.ok(isPlain(told.message), told.message)
    })
  }

  const streams: Array<{ name: string; method?: string; type?: string; body: Buffer; code: string; says: RegExp }> = [
    { name: 'a message that is no JSON', body: envelope(Buffer.from('{')), code: 'invalid_argument', says: /cannot decode/ },
    {
      name: 'a message that is no protobuf',
      type: PROTOBUF_STREAM,
      body: envelope(GARBAGE),
      code: 'invalid_argument',
      says: /parse binary/,
    },
    { name: 'an envelope cut short', body: envelope({}, { length: 50 }), code: 'invalid_argument', says: /incomplete envelope/ },
    { name: 'a message of 4 GiB', body: envelope({}, { length: 0xffffffff }), code: 'resource_exhausted', says: /larger than .* 1048576/ },
    { name: 'a compressed message', body: envelope({}, { flags: 1 }), code: 'invalid_argument', says: /compressed/ },
    { name: 'nothing', body: Buffer.alloc(0), code: 'invalid_argument', says: /first message of SendTask must be its head/ },
    { name: 'no head', body: envelope({ chunk: 'aaaa' }), code: 'invalid_argument', says: /first message of SendTask must be its head/ },
    { name: 'a negative size', body: envelope({ head: { peer: PEER, taskId: 't', size: -1 } }), code: 'invalid_argument', says: /size/ },
    {
      name: 'a peer that is none',
      body: envelope({ head: { peer: 'nobody', taskId: 't' } }),
      code: 'invalid_argument',
      says: /not a peer/,
    },
    {
      name: 'a task id with a line break',
      body: envelope({ head: { peer: PEER, taskId: 'a\nb' } }),
      code: 'invalid_argument',
      says: /task id/,
    },
    {
      name: 'a kind of call that does not exist',
      method: 'Call',
      body: envelope({ head: { peer: PEER, protocolId: '/x/1', kind: 'nope' } }),
      code: 'invalid_argument',
      says: /kind: "nope"/,
    },
    {
      name: 'garbage among small tasks',
      method: 'SendTasks',
      type: PROTOBUF_STREAM,
      body: envelope(GARBAGE),
      code: 'invalid_argument',
      says: /parse binary/,
    },
    {
      name: 'a measurement that never ends',
      method: 'Bench',
      body: envelope({ peer: PEER, durationMs: 'Infinity', count: 1, concurrency: 1, sizeBytes: 1 }),
      code: 'invalid_argument',
      says: /durationMs: Infinity/,
    },
    {
      name: 'a count that is negative',
      method: 'Bench',
      body: envelope({ peer: PEER, count: -1 }),
      code: 'invalid_argument',
      says: /count.*-1 out of range/,
    },
  ]

  for (const { name, method = 'SendTask', type = JSON_STREAM, body, code, says } of streams) {
    it(`ends a call that streams with ${code} for ${name}`, async () => {
      const { status, body: told } = await http2(method, type, body)
      assert.equal(status, 200)
      const error = endOf(told)
      assert.equal(error.code, code, error.message)
      assert.match(error.message, says)
      assert.ok(isPlain(error.message), error.message)
    })
  }

  it('fails alone among small tasks, as a usage error', async () => {
    for (const task of [{}, { head: { peer: PEER, taskId: 't', timeoutMs: -1 } }, { head: { peer: 'nobody', taskId: 't' } }]) {
      const { body } = await http2('SendTasks', JSON_STREAM, envelope({ items: [{ id: 1, task }] }))
      const { items } = JSON.parse(body.subarray(5, 5 + body.readUInt32BE(1)).toString())
      assert.equal(items[0].failure.code, 'USAGE', JSON.stringify(items))
    }
  })

  it('is told that a call which streams both ways needs HTTP/2', async () => {
    const { status, body } = await http1('SendTask', JSON_STREAM, envelope({}))
    assert.deepEqual([status, JSON.parse(body.toString()).message], [505, 'a bidirectional streaming call needs HTTP/2'])
  })

  it('is answered 400 over HTTP/2, for an authority that is none', async () => {
    const { status, body } = await http2('Id', JSON_BODY, '{}', { ':authority': '[' })
    assert.deepEqual([status, JSON.parse(body.toString()).code], [400, 'invalid_argument'])
  })

  for (const [name, bytes] of [
    ['no HTTP', 'hello there\r\n\r\n'],
    ['a TLS handshake', Buffer.from('160301020001000001fc0303', 'hex')],
    ['HTTP/1.0 without a Host', `POST ${SERVICE}Id HTTP/1.0\r\ncontent-type: ${JSON_BODY}\r\ncontent-length: 2\r\n\r\n{}`],
    ['HTTP/2 that is none behind its first bytes', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame at all'],
  ] as const) {
    it(`costs the node nothing where it is ${name}`, async () => {
      const socket = connect(path)
      socket.end(bytes)
      socket.resume()
      await once(socket, 'close')
      assert.equal((await http1('Id', JSON_BODY, '{}')).status, 200)
    })
  }
})
