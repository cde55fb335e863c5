import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { StatusAnswer, StatusProblem } from '../../../src/session/answers.ts'
import { MetricsEndpoint } from '../../../src/session/metrics/metrics-endpoint.ts'

interface Got {
  status: number | undefined
  headers: NodeJS.Dict<string | string[]>
  body: string
}

describe('the endpoint of metrics', () => {
  const opened: MetricsEndpoint[] = []

  after(() => {
    for (const endpoint of opened) {
      endpoint.close()
    }
  })

  async function open(limits?: { connectionMs: number }): Promise<MetricsEndpoint> {
    const endpoint = await MetricsEndpoint.open('127.0.0.1:0', limits)
    opened.push(endpoint)
    return endpoint
  }

  function withStatus(problems: StatusProblem[]): { status(): Promise<StatusAnswer>; asked: number } {
    const session = {
      asked: 0,
      status: async () => {
        session.asked++
        return { problems } as unknown as StatusAnswer
      },
    }
    return session
  }

  async function ask(
    { url }: MetricsEndpoint,
    path: string,
    options: { method?: string; headers?: Record<string, string> } = {},
  ): Promise<Got> {
    const sent = request(new URL(path, url), { agent: false, ...options }).end()
    const [response] = await once(sent, 'response')
    const chunks: Buffer[] = []
    for await (const chunk of response) {
      chunks.push(chunk)
    }
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() }
  }

  async function connected({ url }: MetricsEndpoint): Promise<Socket> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined)
    await once(socket, 'connect')
    return socket
  }

  it('serves the numbers of the node and of its process as Prometheus reads them', async () => {
    const endpoint = await open()
    endpoint.forNewNode().counter('subnet_earlier_total', { help: 'Of a node that is gone' }).with({}).add()
    endpoint.forNewNode().counter('subnet_things_total', { help: 'Things that were counted' }).with({}).add(3)
    const { status, headers, body } = await ask(endpoint, '/metrics')
    assert.deepEqual([status, headers['connection']], [200, 'close'])
    assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/)
    assert.match(body, /\n# HELP subnet_things_total Things that were counted\n# TYPE subnet_things_total counter\nsubnet_things_total 3\n/)
    assert.doesNotMatch(body, /earlier/)
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'process_open_fds',
      'nodejs_eventloop_lag_p99_seconds',
    ]) {
      assert.match(body, new RegExp(`^${name} [\\d.e-]+$`, 'm'))
    }
  })

  it('is healthy while the process works, and ready as the status is, with fixed reasons only', async () => {
    const endpoint = await open()
    assert.deepEqual((await ask(endpoint, '/healthz')).body, 'ok\n')
    const before = await ask(endpoint, '/readyz')
    assert.deepEqual([before.status, before.body], [503, 'not ready\nNOT_RUNNING: the node starts or stops\n'])
    const [ready, failing] = await Promise.all([open(), open()])
    ready.follow(withStatus([{ code: 'CLOCK_OFF', severity: 'warning', message: '/secret/path' }]))
    failing.follow(
      withStatus([
        { code: 'CHAIN_UNAVAILABLE', severity: 'error', message: 'ws://secret.example:9944/key' },
        { code: 'CHAIN_UNAVAILABLE', severity: 'error', message: '/secret/path' },
        { code: 'UNREACHABLE', severity: 'error', message: 'secret' },
      ]),
    )
    assert.deepEqual((await ask(ready, '/readyz')).body, 'ready\n')
    const { status, body } = await ask(failing, '/readyz')
    assert.equal(status, 503)
    assert.deepEqual(
      body.split('\n').map((line) => line.split(':')[0]),
      ['not ready', 'CHAIN_UNAVAILABLE', 'UNREACHABLE', ''],
    )
    assert.doesNotMatch(body, /secret|\/\//)
    assert.equal((await ask(failing, '/healthz')).status, 200)
  })

  it('asks for the status once, however many ask whether the node is ready', async () => {
    const endpoint = await open()
    const session = withStatus([])
    endpoint.follow(session)
    const answers = await Promise.all(Array.from({ length: 20 }, async () => ask(endpoint, '/readyz')))
    assert.ok(answers.every(({ status }) => status === 200))
    assert.equal(session.asked, 1)
  })

  it('answers nothing but GET and HEAD of three paths', async () => {
    const endpoint = await open()
    assert.equal((await ask(endpoint, '/')).status, 404)
    assert.equal((await ask(endpoint, '/metrics/../secret')).status, 404)
    assert.equal((await ask(endpoint, '/healthz?probe=1')).status, 200)
    const posted = await ask(endpoint, '/metrics', { method: 'POST' })
    assert.deepEqual([posted.status, posted.headers['allow']], [405, 'GET, HEAD'])
    const head = await ask(endpoint, '/metrics', { method: 'HEAD' })
    assert.deepEqual([head.status, head.body], [200, ''])
    assert.ok(Number(head.headers['content-length']) > 1_000)
  })

  it('refuses a request with more than 8 KiB of headers', async () => {
    const endpoint = await open()
    assert.equal((await ask(endpoint, '/healthz', { headers: { long: 'x'.repeat(9 * 1024) } })).status, 431)
    assert.equal((await ask(endpoint, `/healthz?${'x'.repeat(9 * 1024)}`)).status, 431)
  })

  it('cuts a connection that sends nothing, one that sends slowly and one that reads nothing, each after its time', async () => {
    const endpoint = await open({ connectionMs: 300 })
    const [silent, slow, deaf] = await Promise.all([connected(endpoint), connected(endpoint), connected(endpoint)])
    const ended = [silent, slow, deaf].map(async (socket) => once(socket, 'close'))
    slow.write('GET /metrics HTTP/1.1\r\nhost: a\r\nlong: ')
    const trickle = setInterval(() => slow.write('x'), 20)
    deaf.pause().write('GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(50))
    silent.resume()
    slow.resume()
    await Promise.all(ended.slice(0, 2))
    deaf.resume()
    await Promise.all(ended)
    clearInterval(trickle)
    assert.equal((await ask(endpoint, '/healthz')).status, 200)
  })

  it('takes 32 connections at a time, and answers again once one is gone', async () => {
    const endpoint = await open()
    const held = await Promise.all(Array.from({ length: 32 }, async () => connected(endpoint)))
    const over = await connected(endpoint)
    await once(over.resume(), 'close')
    const freed = once(held[0] as Socket, 'close')
    held[0]?.resume().end()
    await freed
    assert.equal((await ask(endpoint, '/healthz')).status, 200)
    for (const socket of held) {
      socket.destroy()
    }
  })

  it('ends every connection as it closes', async () => {
    const endpoint = await open()
    const socket = await connected(endpoint)
    const ended = once(socket.resume(), 'close')
    endpoint.close()
    await ended
    await assert.rejects(ask(endpoint, '/healthz'), { code: 'ECONNREFUSED' })
  })

  it('names a port that is taken, and a host that is none of this machine', async () => {
    const { url } = await open()
    const taken = new URL(url).host
    await assert.rejects(MetricsEndpoint.open(taken), { code: 'USAGE', message: `cannot serve metrics on ${taken}: the port is taken` })
    await assert.rejects(MetricsEndpoint.open('192.0.2.1:0'), { code: 'USAGE', message: /no such address$/ })
  })
})
