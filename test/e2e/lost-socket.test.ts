import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Cli, jsonError, type RunningNode, until } from '../support/cli.ts'

describe('a node that runs and whose control socket cannot be used', function () {
  this.timeout(90_000)
  const cli = new Cli()
  let home: string
  let node: RunningNode

  before(async () => {
    home = await cli.home()
    node = await cli.start(home, ['--handler', 'echo'])
  })

  after(async () => cli.clean())

  it('puts it back where it was removed, and a command waits for that', async () => {
    await rm(join(home, 'node.sock'))
    const status = await cli.json(home, ['status'])
    assert.equal(status['pid'], node.running.child.pid)
    assert.match(node.running.stderr, /^warn: the control socket had been removed, and was created again$/m)
  })

  it('puts it back where another took its place, and its lock where that was removed', async () => {
    const socket = join(home, 'node.sock')
    await Promise.all([rm(socket), rm(join(home, 'node.lock')), rm(join(home, 'node.pid'))])
    // one that a process left behind: it refuses
    const left = createServer().listen(join(home, 'left.sock'))
    await once(left, 'listening')
    await rename(join(home, 'left.sock'), socket)
    left.close()
    await node.running.says(/(was created again\n.*){2}/s)
    const [second, status] = await Promise.all([cli.run(home, ['start', '--json']), cli.json(home, ['status'])])
    assert.equal(second.code, 11)
    assert.ok(jsonError(second).message.includes(`pid ${node.running.child.pid}`))
    assert.equal(status['pid'], node.running.child.pid)
  })

  it('that is stopped in its tracks is told of with its pid, and no second node starts', async () => {
    const { child } = node.running
    child.kill('SIGSTOP')
    await rm(join(home, 'node.sock'))
    try {
      const lines = [['status'], ['id'], ['ping', node.address], ['stop'], ['chain', 'list']]
      const outcomes = await Promise.all(lines.map(async (args) => cli.run(home, [...args, '--json', '--timeout', '1s'])))
      for (const outcome of outcomes) {
        const { code, message } = jsonError(outcome)
        assert.deepEqual([code, outcome.code], ['ALREADY_RUNNING', 11], message)
        assert.ok(message.includes(`(pid ${child.pid})`) && message.includes('node.sock does not exist'), message)
      }
      const init = await cli.run(home, ['init', '--yes', '--force'])
      assert.match(init.stderr, /the running node does not change: the new value takes effect at its next start/)
    } finally {
      child.kill('SIGCONT')
    }
    assert.equal((await cli.json(home, ['status']))['pid'], child.pid)
  })

  it('is waited for while it starts', async () => {
    const slow = await cli.home()
    const running = cli.launch(slow, ['start', '--json', '--listen', '/ip4/127.0.0.1/tcp/0'])
    await until(async () => existsSync(join(slow, 'node.pid')), 'no pid')
    const status = await cli.json(slow, ['status'])
    assert.equal(status['pid'], running.child.pid)
  })
})

describe('a node with few file descriptors', function () {
  this.timeout(90_000)
  const cli = new Cli()
  const sockets: Socket[] = []

  after(async () => {
    close()
    await cli.clean()
  })

  function close(): void {
    for (const socket of sockets.splice(0)) {
      socket.destroy()
    }
  }

  it('refuses peers first, answers commands, and says so', async () => {
    const home = await cli.home()
    const limited = { within: ['sh', '-c', 'ulimit -n 80; exec "$@"', 'sh'] }
    const node = await cli.start(home, ['--handler', 'sh:cat', '--subnet-id', '3'], limited)
    const caller = await cli.home()
    await cli.json(caller, ['send-task', node.address, '--text', 'before'])
    const [, port] = /\/tcp\/(\d+)/.exec(node.address) ?? []
    const ended: Array<Promise<void>> = []
    for (let count = 0; count < 100; count++) {
      const socket = connect(Number(port), '127.0.0.1').on('error', () => undefined)
      sockets.push(socket)
      ended.push(new Promise((resolve) => socket.resume().on('close', () => resolve())))
    }
    // what it does not take it closes
    await Promise.race(ended)
    const answers = await Promise.all(Array.from({ length: 8 }, async () => cli.run(home, ['status', '--json'])))
    for (const { code, stdout } of answers) {
      const { problems = [], pid } = JSON.parse(stdout)
      assert.deepEqual([code, pid], [9, node.running.child.pid], stdout)
      assert.match(problems[0].message, /new peers are refused: \d+ of 80 file descriptors are open/)
    }
    const away = await cli.run(home, ['connect', `/ip4/127.0.0.1/tcp/1/p2p/${node.peerId}`, '--json'])
    assert.notEqual(away.code, 0)
    close()
    assert.equal((await cli.run(caller, ['send-task', node.address, '--text', 'after'])).stdout, 'after')
    assert.equal((await node.stop()).code, 0)
  })
})
