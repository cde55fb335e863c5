import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Cli, type CliEvent, gone, jsonError, present } from '../support/cli.ts'

describe('subnet start', function () {
  this.timeout(60_000)
  let cli: Cli

  beforeEach(() => {
    cli = new Cli()
  })

  afterEach(async () => cli.clean())

  it('tells as JSON lines that it is ready, who comes and goes, beats and asks, and that it stops', async () => {
    const home = await cli.home()
    const node = await cli.start(home, ['--handler', 'upper', '--subnet-id', '7'])
    const { running, ready } = node
    assert.deepEqual(ready, {
      event: 'ready',
      atMs: ready.atMs,
      peerId: (await cli.json(home, ['id']))['peerId'],
      multiaddrs: [node.address],
      subnetId: 7,
      home,
      pid: running.child.pid,
    })
    assert.match(node.address, /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3Koo/)

    const args = ['--bootstrap', node.address, '--heartbeat-interval', '500ms', '--subnet-id', '7']
    const other = await cli.start(await cli.home(), args)
    const isOther = (event: CliEvent): boolean => event['peerId'] === other.peerId
    const came = await running.event('peer:connect', isOther)
    assert.deepEqual(Object.keys(came), ['event', 'atMs', 'peerId', 'multiaddr', 'direction'])
    assert.equal(came['direction'], 'inbound')
    assert.match(String(came['multiaddr']), new RegExp(`^/ip4/127\\.0\\.0\\.1/tcp/\\d+/p2p/${other.peerId}$`))
    const beat = await running.event('heartbeat', (event) => isOther(event) && event['state'] === 'online')
    assert.deepEqual(Object.keys(beat), ['event', 'atMs', 'peerId', 'state', 'multiaddrs'])
    assert.deepEqual(beat['multiaddrs'], [other.address])

    const asker = await cli.home()
    await cli.json(asker, ['send-task', node.address, '--text', 'x', '--task-id', 'first'])
    const task = await running.event('task')
    const { atMs, ms, ...rest } = task
    assert.deepEqual(rest, { event: 'task', taskId: 'first', peerId: (await cli.json(asker, ['id']))['peerId'], accepted: true })
    assert.equal(typeof ms, 'number')

    await other.stop()
    await running.event('heartbeat', (event) => isOther(event) && event['state'] === 'offline')
    await running.event('peer:disconnect', isOther)
    const outcome = await node.stop()
    assert.deepEqual({ code: outcome.code, signal: outcome.signal, stderr: outcome.stderr }, { code: 0, signal: null, stderr: '' })
    assert.equal(running.events.at(-1)?.event, 'stopping')
    assert.equal(outcome.stdout.split('\n').length, running.events.length + 1)
    for (const event of running.events) {
      assert.ok(Math.abs(event.atMs - Date.now()) < 600_000, JSON.stringify(event))
    }
    assert.ok(typeof atMs === 'number')
  })

  it('keeps a second node out of its home, naming its pid, and after a kill -9 starts again with what it knew', async () => {
    const home = await cli.home()
    const other = await cli.start(await cli.home())
    const args = ['--bootstrap', other.address, '--heartbeat-interval', '500ms']
    const first = await cli.start(home, args)
    await first.running.event('heartbeat', (event) => event['peerId'] === other.peerId)

    const second = await cli.run(home, ['start', '--json', '--listen', '/ip4/127.0.0.1/tcp/0'])
    assert.equal(second.code, 11)
    const { code, message } = jsonError(second)
    assert.equal(code, 'ALREADY_RUNNING')
    assert.ok(message.includes(`pid ${first.running.child.pid}`) && message.includes(home), message)

    await first.running.signal('SIGKILL')
    const found = await cli.json(home, ['resolve', other.peerId, '--tier', 'gossip'])
    assert.deepEqual(found['multiaddrs'], [other.address])
    const again = await cli.start(home, args)
    assert.equal(again.peerId, first.peerId)
    const known = await cli.json<Array<{ peerId: string }>>(home, ['peers', '--all'])
    assert.ok(known.some(({ peerId }) => peerId === other.peerId))
    assert.equal((await again.stop()).code, 0)
  })

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
    it(`ends with 0 by ${signal} while a request is in flight, its program with it`, async () => {
      const mark = `2000${Math.floor(Math.random() * 1e9)}`
      const node = await cli.start(await cli.home(), ['--handler', `exec:sleep ${mark}`])
      const asker = cli.launch(await cli.home(), ['send-task', node.address, '--text', '', '--json'])
      await present(`sleep ${mark}`)
      // what hangs is killed by the signal after 1.8 s: to end with 0 it has to be in time
      const { code, signal: killedBy, stderr } = await node.running.signal(signal)
      assert.deepEqual({ code, killedBy, stderr }, { code: 0, killedBy: null, stderr: '' })
      await gone(`sleep ${mark}`)
      const answer = await asker.ended
      assert.equal(answer.code, 8, answer.stdout)
      assert.match(jsonError(answer).message, /may have acted/)
    })
  }

  it('ends with 0 by SIGTERM on a machine so loaded that it cannot stop in time, and leaves no program behind', async () => {
    const mark = `3000${Math.floor(Math.random() * 1e9)}`
    const home = await cli.home()
    const burden = join(home, 'burden.mjs')
    // from the signal on, every turn of the event loop takes long
    await writeFile(
      burden,
      `const busy = () => { const until = Date.now() + 400; while (Date.now() < until); setImmediate(busy) }
      process.once('SIGTERM', busy)`,
    )
    const node = await cli.start(home, ['--handler', `sh:sleep ${mark}; true`], { env: { NODE_OPTIONS: `--import=${burden}` } })
    const asker = cli.launch(await cli.home(), ['send-task', node.address, '--text', '', '--timeout', '90s'])
    await present(`sleep ${mark}`)
    const { code, signal, stderr } = await node.running.signal('SIGTERM')
    assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
    await gone(`sleep ${mark}`)
    await asker.ended
  })

  it('opens no inspector by SIGUSR1', async () => {
    const home = await cli.home()
    const node = await cli.start(home)
    node.running.child.kill('SIGUSR1')
    await cli.json(home, ['status'])
    const { code, stderr } = await node.stop()
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  })

  it('never reads stdin without a terminal', async () => {
    const stdin = new PassThrough()
    stdin.write(Buffer.alloc(4 << 20, 'exit\n'))
    const node = await cli.start(await cli.home(), ['--handler', 'echo'], { stdin })
    await cli.json(await cli.home(), ['send-task', node.address, '--text', 'x'])
    assert.ok((node.running.child.stdin?.writableLength ?? 0) > 0, 'more than a pipe holds is still unread')
    assert.equal((await node.stop()).code, 0)
  })

  it('listens on a free port, with a notice, where the default is taken', async () => {
    const taken = createServer()
    // in use by another: as good
    taken.on('error', () => undefined)
    taken.listen(38_960, '0.0.0.0')
    try {
      await Promise.race([once(taken, 'listening'), once(taken, 'error')])
      const running = cli.launch(await cli.home(), ['start', '--json'])
      const ready = await running.event('ready')
      for (const multiaddr of ready['multiaddrs'] as string[]) {
        assert.match(multiaddr, /\/tcp\/\d+\/p2p\//)
        assert.ok(!multiaddr.includes('/tcp/38960/'))
      }
      const { stderr } = await running.signal('SIGTERM')
      assert.equal(stderr, 'warn: /ip4/0.0.0.0/tcp/38960 is taken: listening on a free port\n')
    } finally {
      taken.close()
    }
  })

  it('speaks to people without --json', async () => {
    const running = cli.launch(await cli.home(), ['start', '--listen', '/ip4/127.0.0.1/tcp/0', '--handler', 'echo'])
    await running.prints(/^\d{4}-\d\d-\d\dT[\d:.]+Z ready: (\S+)\n {2}\/ip4\/127\S+\n/)
    const { code, stdout, stderr } = await running.signal('SIGINT')
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    assert.match(stdout, /^\S+Z ready: 12D3\S+\n {2}\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3\S+\n\d{4}-\d\d-\d\dT[\d:.]+Z stopping\n$/)
  })

  it('stops when the reader of its events is gone', async () => {
    const home = await cli.home()
    const node = await cli.start(home)
    node.running.child.stdout?.destroy()
    // something to tell
    await cli.run(await cli.home(), ['ping', node.address])
    const { code, signal, stderr } = await node.running.ended
    assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
    // it stopped, and did not just end
    assert.ok(!(await readdir(home)).includes('node.pid'))
  })
})
