import assert from 'node:assert/strict'
import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Cli, gone, onlyJson, present } from '../support/cli.ts'

const ONE_SHOTS = 20

describe('a command that is told to end', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`ends by ${signal} in the middle of a task: with one line, and nothing left behind`, async () => {
      const mark = `3000${Math.floor(Math.random() * 1e9)}`
      const node = await cli.start(await cli.home(), ['--handler', `exec:sleep ${mark}`])
      const folder = await cli.folder()
      const home = await cli.home({ bootstrap: [node.address] })
      for (const more of [['--output', join(folder, 'result')], ['--json']]) {
        const asking = cli.launch(home, ['send-task', node.peerId, '--text', '', ...more])
        await present(`sleep ${mark}`)
        const { code, signal: endedBy, stdout, stderr, ms } = await asking.signal(signal)
        assert.deepEqual({ code, endedBy, stdout }, { code: null, endedBy: signal, stdout: '' })
        assert.match(stderr, /^cancelled after .*: the peer may have acted on the task \S+\n$/)
        // 2 s by the contract; the rest is for a machine that is busy with other tests
        assert.ok(ms < 6_000, `gone after ${ms} ms`)
        await gone(`sleep ${mark}`)
      }
      assert.deepEqual(await readdir(folder), [])
      await node.stop()
    })
  }

  it('ends by SIGINT while it waits for stdin', async () => {
    const node = await cli.start(await cli.home(), ['--handler', 'exec:sha256sum'])
    const stdin = new PassThrough()
    stdin.write(Buffer.alloc(1 << 20))
    const args = ['send-task', node.address, '--payload', '-', '--log-level', 'debug']
    const running = cli.launch(await cli.home(), args, { stdin })
    await running.reads()
    const { signal, stdout } = await running.signal('SIGINT')
    assert.deepEqual({ signal, stdout }, { signal: 'SIGINT', stdout: '' })
    await node.stop()
  })
})

describe('many commands in one home', function () {
  this.timeout(120_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it(`all succeed, ${ONE_SHOTS} at once in a home without a key, and have one peer ID afterwards`, async () => {
    const node = await cli.start(await cli.home(), ['--handler', 'echo'])
    const home = await cli.home({ bootstrap: [node.address] })
    await assert.rejects(access(join(home, 'identity.key')))
    const all = Array.from({ length: ONE_SHOTS }, async (_, index) =>
      cli.run(home, ['send-task', node.peerId, '--text', `task ${index}`, '--json']),
    )
    for (const [index, outcome] of (await Promise.all(all)).entries()) {
      assert.equal(outcome.code, 0, `${outcome.stdout} ${outcome.stderr}`)
      const { resultBase64 } = onlyJson(outcome)
      assert.equal(Buffer.from(String(resultBase64), 'base64').toString(), `task ${index}`)
    }
    const { peerId } = await cli.json(home, ['id'])
    const askers = node.running.events.filter(({ event }) => event === 'task').map((event) => event['peerId'])
    assert.deepEqual(askers, Array(ONE_SHOTS).fill(peerId))
    await node.stop()
  })

  it('work beside the node that runs there', async () => {
    const other = await cli.start(await cli.home(), ['--handler', 'echo'])
    const home = await cli.home({ bootstrap: [other.address] })
    const node = await cli.start(home, ['--handler', 'upper'])
    const [id, answer, peers] = await Promise.all([
      cli.json(home, ['id']),
      cli.run(home, ['send-task', other.peerId, '--text', 'hello']),
      cli.json<Array<{ peerId: string }>>(home, ['peers']),
    ])
    assert.equal(id['peerId'], node.peerId)
    assert.equal(answer.stdout, 'hello')
    assert.deepEqual(
      peers.map(({ peerId }) => peerId),
      [other.peerId],
    )
    // and the node is still who answers for the peer ID that they share
    const { stdout } = await cli.run(await cli.home(), ['send-task', node.address, '--text', 'hello'])
    assert.equal(stdout, 'HELLO')
    assert.equal((await node.stop()).code, 0)
    assert.equal((await other.stop()).code, 0)
  })
})

describe('a command that nothing keeps alive but itself', () => {
  const cli = new Cli()

  after(async () => cli.clean())

  it('goes on to its end: Node ends a process whose last socket and timer do not count, with 13 and no word', async () => {
    const node = await cli.start(await cli.home(), ['--handler', 'upper'])
    // all that libraries wait with, but not the longest interval, with which the command itself waits
    const unref = `import { Socket } from 'node:net'
      const { connect } = Socket.prototype
      Socket.prototype.connect = function (...args) { return connect.apply(this, args).unref() }
      const { setTimeout, setInterval } = globalThis
      globalThis.setTimeout = Object.assign((...args) => setTimeout(...args).unref(), setTimeout)
      globalThis.setInterval = (callback, ms, ...args) => {
        const timer = setInterval(callback, ms, ...args)
        return ms === 2 ** 31 - 1 ? timer : timer.unref()
      }`
    const env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(unref)}` }
    const { code, stdout, stderr } = await cli.run(await cli.home(), ['send-task', node.address, '--text', 'hello'], { env })
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'HELLO', stderr: '' })
  })
})
