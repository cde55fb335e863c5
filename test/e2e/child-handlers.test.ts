import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, gone, jsonError, onlyJson, present, type RunningNode } from '../support/cli.ts'

/** The arguments of a process that runs until it is killed, and that no other process has. */
function endless(): string {
  return `1000${Math.floor(Math.random() * 1e9)}`
}

describe('a handler that is a program', function () {
  this.timeout(60_000)
  const cli = new Cli()
  /** Its tasks are scripts. */
  let shell: RunningNode
  let home: string

  before(async () => {
    home = await cli.home()
    shell = await cli.start(await cli.home(), ['--handler', 'exec:/bin/sh', '--max-frame-bytes', '100000'])
  })

  after(async () => cli.clean())

  it('gets the payload on stdin, and its stdout is the result', async () => {
    const node = await cli.start(await cli.home(), ['--handler', 'exec:tr a-z A-Z'])
    const text = 'The quick brown fox, 0123456789.\n'.repeat(160_000)
    const { code, stdout } = await cli.run(home, ['send-task', node.address, '--payload', '-'], { stdin: text })
    assert.equal(code, 0)
    assert.ok(text.length > 5 * 1_024 * 1_024)
    assert.ok(stdout === text.toUpperCase())
    await node.stop()
  })

  it('finds out who asks for what in its environment', async () => {
    const { peerId } = await cli.json(home, ['id'])
    const script = 'printf "%s %s" "$SUBNET_TASK_ID" "$SUBNET_PEER_ID"'
    const { stdout } = await cli.run(home, ['send-task', shell.address, '--text', script, '--task-id', 'number 1'])
    assert.equal(stdout, `number 1 ${peerId}`)
  })

  it('rejects by a non-zero exit, its stderr in the error, and leaves no output', async () => {
    const folder = await cli.folder()
    const script = "echo half a result; printf 'not \\033[31mthis\\nway' >&2; exit 3"
    const args = ['send-task', shell.address, '--text', script, '--task-id', 'refused', '--output', join(folder, 'result')]
    const [words, json] = await Promise.all([cli.run(home, args), cli.run(home, [...args, '--json'])])
    assert.deepEqual({ code: words.code, stdout: words.stdout }, { code: 7, stdout: '' })
    const hint = "hint: the peer's log and events name this task by its ID, refused"
    assert.equal(words.stderr, `error: the peer rejected the task: the handler exited with 3: not this way\n${hint}\n`)
    assert.equal(json.code, 7)
    const { taskId, accepted, error, resultBase64, bytesReceived } = onlyJson(json)
    assert.deepEqual(
      { taskId, accepted, resultBase64, bytesReceived },
      { taskId: 'refused', accepted: false, resultBase64: '', bytesReceived: 0 },
    )
    assert.equal((error as { code: string }).code, 'TASK_REJECTED')
    assert.deepEqual(await readdir(folder), [])
  })

  it('that never ends is killed after --task-timeout', async () => {
    const mark = endless()
    const node = await cli.start(await cli.home(), ['--handler', `exec:sleep ${mark}`, '--task-timeout', '500ms'])
    const outcome = await cli.run(home, ['send-task', node.address, '--text', ''])
    assert.equal(outcome.code, 7)
    assert.match(outcome.stderr, /^error: the peer rejected the task: the handler ran longer than 500 ms\nhint: .*\n$/)
    await gone(mark)
    await node.stop()
  })

  it('takes with it what it left behind', async () => {
    const mark = endless()
    const { code, stdout } = await cli.run(home, ['send-task', shell.address, '--text', `sleep ${mark} & echo done`])
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'done\n' })
    await gone(mark)
  })

  it('is killed when the caller goes away', async () => {
    const mark = endless()
    const caller = cli.launch(home, ['send-task', shell.address, '--text', `sleep ${mark}`])
    await present(mark)
    await caller.signal('SIGKILL')
    await gone(mark)
  })

  it('that prints too much is killed, with the limit in the error', async () => {
    const mark = endless()
    const outcome = await cli.run(home, ['send-task', shell.address, '--text', `yes ${mark}`])
    assert.equal(outcome.code, 7)
    assert.match(outcome.stderr, /: the handler printed more than 100000 bytes, this node's limit for a result$/m)
    await gone(mark)
  })

  it('that is not installed rejects in clear words; which program that is stands in the log of its node alone', async () => {
    const node = await cli.start(await cli.home(), ['--handler', 'exec:no-such-program --fast'])
    const outcome = await cli.run(home, ['send-task', node.address, '--text', 'x'])
    assert.equal(outcome.code, 7)
    assert.match(outcome.stderr, /: the task handler cannot be run$/m)
    const { stderr } = await node.stop()
    assert.match(stderr, /^warn: a task was rejected: the handler's command no-such-program cannot be run: it is not installed here$/m)
  })
})

describe('other handlers', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let home: string

  before(async () => {
    home = await cli.home()
  })

  after(async () => cli.clean())

  const modules: Array<[file: string, code: string]> = [
    ['handler.mjs', 'export default async ({ taskId, payload }, { peerId }) => Buffer.from([taskId, peerId, payload.length].join())'],
    [
      'handler.ts',
      `interface Task { taskId: string, payload: Uint8Array }
       export default function handle (task: Task, context: { peerId: object }): Uint8Array {
         return Buffer.from([task.taskId, context.peerId.toString(), task.payload.length].join())
       }`,
    ],
  ]
  for (const [file, code] of modules) {
    it(`may be a module: ${file}`, async () => {
      const folder = await cli.folder()
      await writeFile(join(folder, file), code)
      const node = await cli.start(await cli.home(), ['--handler', file], { cwd: folder })
      const { stdout, stderr } = await cli.run(home, ['send-task', node.address, '--text', 'four', '--task-id', 'a'])
      const { peerId } = await cli.json(home, ['id'])
      assert.deepEqual({ stdout, stderr }, { stdout: `a,${peerId},4`, stderr: '' })
      // Node may warn of a module without package.json; nothing else is on stderr of the node
      assert.ok(!/^(error|warn):/m.test(node.running.stderr), node.running.stderr)
      await node.stop()
    })
  }

  it('are none: then tasks are rejected, saying so', async () => {
    const node = await cli.start(await cli.home())
    const { code, stderr } = await cli.run(home, ['send-task', node.address, '--text', 'x'])
    assert.equal(code, 7)
    const { taskId } = await node.running.event('task')
    const hint = `hint: the peer's log and events name this task by its ID, ${taskId}`
    assert.equal(stderr, `error: the peer rejected the task: this node has no task handler\n${hint}\n`)
    await node.stop()
  })

  it('that fail behind the back of the node end it with 1 and one line, not a stack', async () => {
    const folder = await cli.folder()
    await writeFile(
      join(folder, 'handler.mjs'),
      "export default async () => { setTimeout(() => { throw new Error('too late') }); await new Promise(() => {}) }",
    )
    const node = await cli.start(await cli.home(), ['--handler', join(folder, 'handler.mjs')])
    const caller = await cli.run(home, ['send-task', node.address, '--text', `x`, '--json'])
    assert.equal(caller.code, 8, caller.stdout)
    assert.match(jsonError(caller).message, /may have acted/)
    const { code, stdout, stderr } = await node.running.ended
    assert.deepEqual({ code, stderr }, { code: 1, stderr: '' })
    assert.match(stdout, /"code":"INTERNAL","exit":1,"message":"this is a bug: too late"/)
  })
})
