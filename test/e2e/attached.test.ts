import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Cli, gone, jsonError, onlyJson, present, type RunningNode } from '../support/cli.ts'

const STRANGER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const MIB = 1 << 20

describe('commands beside a running node', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let home: string
  let node: RunningNode
  let other: RunningNode

  beforeEach(async () => {
    home = await cli.home()
    ;[node, other] = await Promise.all([cli.start(home), cli.start(await cli.home(), ['--handler', 'sh:sleep 987654.5 & cat; wait'])])
  })

  afterEach(async () => cli.clean())

  it('act on that node', async () => {
    assert.equal((await cli.json(home, ['connect', other.address]))['direction'], 'outbound')
    await node.running.event('peer:connect', ({ peerId }) => peerId === other.peerId)
    const peers = await cli.json<Array<{ peerId: string }>>(home, ['peers'])
    assert.deepEqual(
      peers.map(({ peerId }) => peerId),
      [other.peerId],
    )
    assert.deepEqual(await cli.json(home, ['id']), { peerId: node.peerId, multiaddrs: [node.address] })
    assert.equal((await cli.json(home, ['resolve', other.peerId]))['source'], 'connected')
    assert.equal((await cli.json(home, ['disconnect', other.peerId]))['connections'], 1)
    await node.running.event('peer:disconnect', ({ peerId }) => peerId === other.peerId)
    const status = await cli.json<{ uptimeMs: number; tasks: object }>(home, ['status'])
    assert.ok(status.uptimeMs > 0)
    const text = await cli.run(home, ['status'])
    assert.equal(text.code, 0)
    assert.match(text.stdout, /^state +healthy\npeer +12D3/)
  })

  it('say with their exit code what is wrong with the node', async () => {
    const lonely = await cli.home({ bootstrap: [`/ip4/127.0.0.1/tcp/1/p2p/${STRANGER}`] })
    await cli.start(lonely)
    const outcome = await cli.run(lonely, ['status', '--json'])
    assert.equal(outcome.code, 4)
    assert.deepEqual(onlyJson(outcome)['problems'], [
      { code: 'UNREACHABLE', severity: 'error', message: 'the node has bootstraps, but no connected peer' },
    ])
  })

  it('refuse what the running node is not, but take the environment for somebody else', async () => {
    for (const [flag, value] of [
      ['--chain', 'ledger:/elsewhere.db'],
      ['--subnet-id', '7'],
      ['--bootstrap', other.address],
      ['--key', '/elsewhere.key'],
      ['--max-frame-bytes', '4096'],
    ] as const) {
      const error = jsonError(await cli.run(home, ['peers', flag, value, '--json']))
      assert.equal(error.exit, 2)
      assert.match(error.message, new RegExp(`^${flag}: the node that runs in .* has `))
    }
    assert.equal((await cli.run(home, ['peers', '--subnet-id', '1', '--chain', `ledger:${home}/ledger.db`, '--json'])).code, 0)
    const warned = await cli.run(home, ['peers', '--json'], { env: { SUBNET_SUBNET_ID: '7' } })
    assert.equal(warned.code, 0)
    assert.match(warned.stderr, /^warn: SUBNET_SUBNET_ID: the node that runs in .* has 1, not 7\n$/)
  })

  it('fall back to a node of their own when it was killed', async () => {
    const before = await cli.run(home, ['resolve', other.peerId, '--json'])
    assert.equal(before.code, 3, before.stdout)
    await node.running.signal('SIGKILL')
    assert.ok((await stat(join(home, 'node.sock'))).isSocket(), 'left behind')
    assert.equal((await cli.json(home, ['connect', other.address]))['peerId'], other.peerId)
    for (const command of ['status', 'stop']) {
      assert.equal(jsonError(await cli.run(home, [command, '--json'])).code, 'NOT_RUNNING')
    }
    assert.equal((await cli.start(home)).peerId, node.peerId)
  })

  it('stop it, and its home is free', async () => {
    assert.deepEqual(await cli.json(home, ['stop']), { peerId: node.peerId, pid: node.running.child.pid })
    const again = await cli.start(home)
    const { code } = await node.running.ended
    assert.equal(code, 0)
    assert.equal(again.peerId, node.peerId)
  })

  it('end with the node that they are on: with 13, and what may have happened', async () => {
    const sending = cli.launch(home, ['send-task', other.address, '--text', 'x', '--json'])
    await present('987654.5')
    await node.running.signal('SIGKILL')
    const error = jsonError(await sending.ended)
    assert.equal(error.exit, 13)
    assert.match(error.message, /ended before it answered.*; the peer may have acted on the request$/)
  })

  it('wait no longer than they were told for a node that hangs', async () => {
    await cli.json(home, ['connect', other.address])
    const pid = Number(node.ready['pid'])
    process.kill(pid, 'SIGSTOP')
    try {
      for (const args of [['id'], ['alias', 'list'], ['peers'], ['peers', '--subnet-id', '1'], ['status'], ['stop']]) {
        const startedAtMs = performance.now()
        const outcome = await cli.run(home, [...args, '--timeout', '1s', '--json'])
        const ms = performance.now() - startedAtMs
        assert.equal(outcome.code, 6, args.join(' '))
        assert.match(
          jsonError(outcome).message,
          args[0] === 'stop' ? /did not answer in time; the node may still stop$/ : /did not answer in time$/,
        )
        // 1.5 s; the rest is for a machine that is busy with other tests
        assert.ok(ms < 6_000, `${args.join(' ')}: ${ms} ms`)
      }
      const completed = await cli.run(home, ['complete', 'subnet ping '])
      assert.equal(completed.stdout, '')
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    assert.equal((await node.running.ended).code, 0, 'what "stop" told it')
  })

  it('that are killed cancel what they began', async () => {
    const sending = cli.launch(home, ['send-task', other.address, '--text', 'x'])
    await present('987654.5')
    await sending.signal('SIGKILL')
    await gone('987654.5')
    assert.equal((await cli.json<{ tasks: { sentFailed: number } }>(home, ['status'])).tasks.sentFailed, 1)
    assert.equal(node.running.stderr, '')
  })

  it('that are interrupted end by the signal, and cancel what they began', async () => {
    const sending = cli.launch(home, ['send-task', other.address, '--text', 'x'])
    await present('987654.5')
    const { signal, stdout, stderr, ms } = await sending.signal('SIGINT')
    assert.deepEqual({ signal, stdout }, { signal: 'SIGINT', stdout: '' })
    assert.match(stderr, /^cancelled after .*: the peer may have acted on the task \S+\n$/)
    assert.ok(ms < 10_000)
    await gone('987654.5')
  })

  it('watch peers: one line of JSON for each change, until the node ends', async () => {
    const watching = cli.launch(home, ['peers', '--watch'])
    await cli.json(home, ['connect', other.address])
    await watching.prints(/"event":"peer:connect"/)
    await cli.json(home, ['disconnect', other.peerId])
    await watching.prints(/"event":"peer:disconnect"/)
    await node.stop()
    const { code, stdout, stderr } = await watching.ended
    assert.equal(code, 13)
    assert.match(stderr, /^error: /)
    for (const line of stdout.trimEnd().split('\n')) {
      const event = JSON.parse(line)
      assert.equal(event.peerId, other.peerId)
      assert.equal(typeof event.atMs, 'number')
      assert.ok('latencyMs' in event && 'agent' in event && 'alias' in event, line)
    }
  })
})

describe('60 MiB through the control socket', function () {
  this.timeout(180_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it('never are in the memory of the command', async () => {
    const home = await cli.home()
    const [folder, , echo] = await Promise.all([cli.folder(), cli.start(home), cli.start(await cli.home(), ['--handler', 'echo'])])
    const [payload, output, memory, meter] = ['payload', 'result', 'memory', 'meter.mjs'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
      string,
    ]
    await writeFile(payload, Buffer.alloc(60 * MIB, 'subnet'))
    await writeFile(
      meter,
      // the peak of this process alone: its maxRSS would begin with that of the one that started it
      `import { readFileSync, writeFileSync } from 'node:fs'
       process.on('exit', () => {
         const peak = process.platform === 'linux'
           ? /^VmHWM:\\s+(\\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]
           : process.resourceUsage().maxRSS
         writeFileSync(${JSON.stringify(memory)}, String(peak))
       })`,
    )
    const outcome = await cli.run(home, ['send-task', echo.address, '--payload', payload, '--output', output, '--json'], {
      env: { NODE_OPTIONS: `--import ${pathToFileURL(meter).href}` },
    })
    assert.equal(outcome.code, 0, outcome.stdout)
    const [sent, received] = await Promise.all([readFile(payload), readFile(output)])
    const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
    assert.equal(digest(received), digest(sent))
    const kib = Number(await readFile(memory, 'utf8'))
    assert.ok(kib > 0 && kib < 150 * 1024, `${kib} KiB`)
  })
})
