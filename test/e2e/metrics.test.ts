import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { Cli, jsonError, type RunningNode } from '../support/cli.ts'
import { notRun } from '../support/not-run.ts'

const RULES = join(import.meta.dirname, '../../deploy/prometheus/subnet.rules.yml')
/** What Prometheus itself makes of a target. */
const OF_PROMETHEUS = ['up']

describe('start --metrics', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let node: RunningNode

  before(async () => {
    node = await cli.start(await cli.home(), ['--metrics', '0', '--handler', 'echo'])
  })

  after(async () => cli.clean())

  async function read(path: string, of = node): Promise<{ status: number; body: string }> {
    const response = await fetch(new URL(path, String(of.ready['metrics'])))
    return { status: response.status, body: await response.text() }
  }

  it('serves what the node counts, on loopback, and says where', async () => {
    assert.match(String(node.ready['metrics']), /^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
    const home = await cli.home()
    await cli.json(home, ['send-task', node.address, '--text', 'hello'])
    const { peerId } = await cli.json<{ peerId: string }>(home, ['id'])
    const { body } = await read('/metrics')
    assert.ok(body.includes('subnet_tasks_total{direction="inbound",outcome="accepted"} 1\n'), body)
    assert.match(body, /^libp2p_connection_manager_dials_total\{.*="inbound"\} [1-9]/m)
    assert.match(body, /^gossipsub_topic_subscription_status\{.*\} 1$/m)
    assert.ok(!body.includes(peerId) && !body.includes(node.peerId) && !body.includes('127.0.0.1'))
  })

  it('is ready as "status" says, and names no path where it is not', async () => {
    assert.deepEqual(await read('/healthz'), { status: 200, body: 'ok\n' })
    assert.deepEqual(await read('/readyz'), { status: 200, body: 'ready\n' })
    const home = await cli.home({ bootstrap: [`/ip4/127.0.0.1/tcp/1/p2p/${node.peerId}`] })
    const alone = await cli.start(home, ['--metrics', ':0'])
    const { status, body } = await read('/readyz', alone)
    assert.deepEqual([status, body.split(':')[0]], [503, 'not ready\nUNREACHABLE'])
    assert.ok(!body.includes(home))
    assert.equal((await cli.run(home, ['status'])).code, 4)
    assert.equal((await alone.running.signal('SIGTERM')).code, 0)
    await assert.rejects(read('/healthz', alone))
  })

  it('ends with 2 where the port is taken, and leaves the home free', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const home = await cli.home()
    const outcome = await cli.run(home, ['start', '--json', '--listen', '/ip4/127.0.0.1/tcp/0', '--metrics', String(port)])
    assert.equal(outcome.code, 2)
    assert.equal(jsonError(outcome).message, `cannot serve metrics on 127.0.0.1:${port}: the port is taken`)
    taken.close()
    await cli.start(home, ['--metrics', String(port)])
  })

  it('stops in time while a client holds its connection', async () => {
    const held = await cli.start(await cli.home(), ['--metrics', '0'])
    const { port } = new URL(String(held.ready['metrics']))
    const socket = connect(Number(port), '127.0.0.1').on('error', () => undefined)
    await once(socket, 'connect')
    const ended = once(socket.resume(), 'close')
    assert.equal((await held.running.signal('SIGTERM')).code, 0)
    await ended
  })

  it('has each number that the alerts of deploy/prometheus name', async () => {
    const served = new Set(
      [...(await read('/metrics')).body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, type]) =>
        seriesOf(String(name), String(type)),
      ),
    )
    const rules = await readFile(RULES, 'utf8')
    const expressions = [...rules.matchAll(/^ +expr: (?:>-\n((?: {10,}.*\n)+)|(.*)\n)/gm)].map(([, block, line]) => String(block ?? line))
    const named = new Set(expressions.flatMap((text) => [...text.matchAll(/\b(?:up|[a-z]+_[a-z_0-9]+)\b(?!\s*\()/g)].map(([name]) => name)))
    assert.equal(expressions.length, (rules.match(/- alert:/g) ?? []).length)
    assert.ok(named.size > 10, [...named].join(' '))
    assert.deepEqual(
      [...named].filter((name) => !served.has(name) && !OF_PROMETHEUS.includes(name)),
      [],
    )
  })

  it('has alerts that promtool takes', function () {
    const { error, status, stderr, stdout } = spawnSync('promtool', ['check', 'rules', RULES], { encoding: 'utf8' })
    if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
      notRun(this, 'there is no promtool: Debian has it in the package prometheus')
    }
    assert.equal(status, 0, stdout + stderr)
  })
})

function seriesOf(name: string, type: string): string[] {
  return type === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name]
}
