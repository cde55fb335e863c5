import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { appendFile, mkdir, open, readdir, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Cli, jsonError, type Outcome, type Running, type RunningNode } from '../support/cli.ts'

const MB = 1_000_000
const LARGE = 200 * MB
const MOST_MEMORY = 256 * MB

/** Does with a task what its id says. */
const HANDLER = `
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

async function* zeros(size, fails) {
  for (let left = size; left > 0; left -= 100_000) yield new Uint8Array(Math.min(left, 100_000))
  if (fails) throw new Error('the model crashed')
}

const tasks = {
  zeros: () => ({ size: 200_000_000, chunks: zeros(200_000_000) }),
  breaks: () => ({ size: 1_000_000, chunks: zeros(500_000, true) }),
  ignores: () => ({ size: 3, chunks: (async function* () { yield Buffer.from('abc') })() }),
  // its chunks tell that it has begun; it goes on when it is told to
  waits: async ({ chunks }, folder) => {
    for await (const chunk of chunks) {
      await writeFile(folder + '/begun', '')
      while (!existsSync(folder + '/go')) await delay(20)
    }
    return tasks.ignores()
  },
}

export default {
  stream: ({ taskId, payload }) => {
    const [what, folder] = taskId.split(':')
    return tasks[what](payload, folder)
  },
}
`

/** The most memory that a process had, in bytes, as long as it runs; undefined where that cannot be known. */
function memoryOf({ child: { pid } }: Running): number | undefined {
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kib == null ? undefined : Number(kib) * 1_024
  } catch {
    return undefined
  }
}

/** How it ended, and the most memory that it had. */
async function measured(running: Running): Promise<Outcome & { memory: number }> {
  let memory = 0
  const timer = setInterval(() => {
    memory = Math.max(memory, memoryOf(running) ?? 0)
  }, 20)
  const outcome = await running.ended.finally(() => clearInterval(timer))
  return { ...outcome, memory }
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) {
    hash.update(chunk)
  }
  return hash.digest('hex')
}

/** Polls: of what another process does to a file no event tells. */
async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  for (const giveUpAtMs = Date.now() + 60_000; !(await holds()); await delay(20)) {
    assert.ok(Date.now() < giveUpAtMs, `not within a minute: ${what}`)
  }
}

/** Waits until there is something in a folder, under whatever name, of that many bytes. */
async function grows(folder: string, bytes: number): Promise<void> {
  await until(async () => {
    const sizes = await Promise.all((await readdir(folder)).map(async (name) => stat(join(folder, name)).catch(() => undefined)))
    return sizes.some((there) => there != null && there.size >= bytes)
  }, `a file of ${bytes} bytes in ${folder}`)
}

describe('a task whose payload and result are large', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let echo: RunningNode
  let hashing: RunningNode
  let module: RunningNode
  let attached: { home: string; node: RunningNode }
  let alone: string
  let folder: string
  let payload: string
  let hash: string

  before(async () => {
    folder = await cli.folder()
    payload = join(folder, 'payload')
    const block = randomBytes(MB)
    await writeFile(
      payload,
      (function* () {
        for (let index = 0; index < LARGE / MB; index++) {
          block.writeUInt32LE(index)
          yield Buffer.from(block)
        }
      })(),
    )
    hash = await hashOf(payload)
    await writeFile(join(folder, 'handler.mjs'), HANDLER)
    const home = await cli.home()
    const [first, second, third, own] = await Promise.all([
      cli.start(await cli.home(), ['--handler', 'echo']),
      cli.start(await cli.home(), ['--handler', 'exec:sha256sum']),
      cli.start(await cli.home(), ['--handler', join(folder, 'handler.mjs')]),
      cli.start(home),
    ])
    ;[echo, hashing, module] = [first, second, third]
    attached = { home, node: own }
    alone = await cli.home()
  })

  after(async () => cli.clean())

  /** None of these has had more memory than a process may have, however large the task was. */
  function assertSmall(...nodes: RunningNode[]): void {
    if (existsSync('/proc/self/status')) {
      for (const memory of nodes.map(({ running }) => memoryOf(running) ?? assert.fail('it runs'))) {
        assert.ok(memory < MOST_MEMORY, `${memory} bytes`)
      }
    }
  }

  for (const where of ['alone', 'attached'] as const) {
    const homeOf = (): string => (where === 'alone' ? alone : attached.home)

    it(`goes from a file to a file, ${where}, and none of the processes holds it`, async () => {
      const output = join(folder, `${where}.out`)
      const args = ['send-task', echo.address, '--payload', payload, '--output', output]
      const { code, stdout, stderr, memory } = await measured(cli.launch(homeOf(), args))
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '', stderr: '' })
      assert.equal(await hashOf(output), hash)
      assert.ok(memory < MOST_MEMORY, `${memory} bytes`)
      assertSmall(echo, attached.node)
    })

    it(`goes from stdin to a program, ${where}, and none of the processes holds it`, async () => {
      // there is no folder for temporary files: the command needs none
      const options = { stdin: createReadStream(payload), env: { TMPDIR: join(folder, 'none') } }
      const running = cli.launch(homeOf(), ['send-task', hashing.address, '--payload', '-'], options)
      const { code, stdout, stderr, memory } = await measured(running)
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: `${hash}  -\n`, stderr: '' })
      assert.ok(memory < MOST_MEMORY, `${memory} bytes`)
      assertSmall(hashing, attached.node)
    })

    it(`comes from stdin as that comes, ${where}, and its result too`, async () => {
      const stdin = new PassThrough()
      const running = cli.launch(homeOf(), ['send-task', echo.address, '--payload', '-'], { stdin })
      for (const [letter, printed] of [
        ['a', /^a$/],
        ['b', /^ab$/],
      ] as const) {
        stdin.write(letter)
        await running.prints(printed)
      }
      stdin.end('c')
      const { code, stdout, stderr } = await running.ended
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'abc', stderr: '' })
    })

    it(`is with its handler before stdin goes on, ${where}`, async () => {
      const told = await cli.folder()
      const stdin = new PassThrough()
      const running = cli.launch(homeOf(), ['send-task', module.address, '--task-id', `waits:${told}`, '--payload', '-', '--json'], {
        stdin,
      })
      stdin.write('a')
      await until(async () => existsSync(join(told, 'begun')), 'the payload comes')
      await writeFile(join(told, 'go'), '')
      stdin.end('b')
      const { code, stdout, stderr } = await running.ended
      assert.equal(code, 0, stderr)
      const { bytesSent, bytesReceived, resultBase64 } = JSON.parse(stdout)
      assert.deepEqual({ bytesSent, bytesReceived, resultBase64 }, { bytesSent: 2, bytesReceived: 3, resultBase64: btoa('abc') })
    })

    it(`is answered while stdin is open still, ${where}, and the command ends`, async () => {
      const stdin = new PassThrough()
      const { code, stdout, stderr } = await cli.run(homeOf(), ['send-task', module.address, '--task-id', 'ignores', '--payload', '-'], {
        stdin,
      })
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'abc', stderr: '' })
      stdin.destroy()
    })

    it(`may be small there and large back, ${where}, from a module that streams`, async () => {
      const output = join(folder, `${where}.zeros`)
      const small = join(folder, 'small')
      await writeFile(small, 'x')
      const args = ['send-task', module.address, '--task-id', 'zeros', '--payload', small, '--output', output]
      const { code, stderr, memory } = await measured(cli.launch(homeOf(), args))
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
      assert.equal((await stat(output)).size, LARGE)
      assert.ok(memory < MOST_MEMORY, `${memory} bytes`)
      assertSmall(module, attached.node)
    })

    it(`is answered by a handler that takes nothing of it, ${where}`, async () => {
      const { code, stdout, stderr } = await cli.run(homeOf(), ['send-task', module.address, '--task-id', 'ignores', '--payload', payload])
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'abc', stderr: '' })
    })

    it(`leaves nothing when the peer is killed half-way, ${where}`, async () => {
      const doomed = await cli.start(await cli.home(), ['--handler', 'echo'])
      const target = await cli.folder()
      const before = where === 'alone' ? undefined : await counts()
      const args = ['send-task', doomed.address, '--payload', payload, '--output', join(target, 'result'), '--json']
      const running = cli.launch(homeOf(), args)
      await grows(target, 5 * MB)
      await doomed.running.signal('SIGKILL')
      const outcome = await running.ended
      assert.equal(outcome.code, 8, outcome.stdout)
      assert.match(jsonError(outcome).message, /; the peer may have acted on the request$/)
      assert.deepEqual(await readdir(target), [])
      if (before != null) {
        const { sentFailed, sentAccepted } = await counts()
        assert.deepEqual({ sentFailed, sentAccepted }, { sentFailed: before.sentFailed + 1, sentAccepted: before.sentAccepted })
      }
    })

    it(`is gone within two seconds of Ctrl-C half-way, ${where}, and leaves nothing`, async () => {
      const target = await cli.folder()
      const running = cli.launch(homeOf(), ['send-task', echo.address, '--payload', payload, '--output', join(target, 'result')])
      await grows(target, 5 * MB)
      const { signal, stderr, ms } = await running.signal('SIGINT')
      assert.equal(signal, 'SIGINT')
      assert.match(
        stderr,
        /^cancelled after [\d.]+ ([kM]?B )?(of [\d.]+ MB|MB of the answer|of [\d.]+ MB of the answer): the peer may have acted on the task \S+\n$/,
      )
      assert.ok(ms < 2_000, `${ms} ms`)
      assert.deepEqual(await readdir(target), [])
    })

    it(`ends with 8 when its result breaks off on the way to stdout, ${where}`, async () => {
      const outcome = await cli.run(homeOf(), ['send-task', module.address, '--task-id', 'breaks', '--text', 'x'])
      assert.equal(outcome.code, 8)
      assert.ok(outcome.bytes.byteLength < 1_000_000)
      assert.match(outcome.stderr, /^error: .*; the peer may have acted on the request\n(hint: .*\n)?$/)
    })

    for (const change of ['grows', 'shrinks'] as const) {
      it(`ends with 2 when its file ${change} meanwhile, ${where}`, async () => {
        const target = await cli.folder()
        const file = join(target, 'payload')
        await mkdir(join(target, 'told'))
        await writeFile(file, randomBytes(20 * MB))
        const running = cli.launch(homeOf(), ['send-task', module.address, '--task-id', `waits:${join(target, 'told')}`, '--payload', file])
        await until(async () => existsSync(join(target, 'told', 'begun')), 'the payload comes')
        await (change === 'grows' ? appendFile(file, 'more') : truncate(file, 15 * MB))
        await writeFile(join(target, 'told', 'go'), '')
        const { code, stdout, stderr } = await running.ended
        assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, stderr)
        assert.match(
          stderr,
          change === 'grows' ? /^error: the payload has grown while/ : /^error: the payload has shrunk while.*: 5000000 bytes/,
        )
      })
    }

    it(`is refused at once when it is larger than any message may be, ${where}`, async () => {
      const file = join(folder, 'huge')
      await using handle = await open(file, 'w')
      await handle.truncate(3_000 * MB)
      const error = jsonError(await cli.run(homeOf(), ['send-task', echo.address, '--payload', file, '--json']))
      assert.equal(error.exit, 9)
      assert.match(error.message, /^the payload is larger than 2147483647 bytes, the most that one message may carry$/)
      assert.match(error.hint ?? '', /send the data in parts/)
    })
  }

  it('is refused over the limit of a handler that wants it whole, and was not acted on', async () => {
    const whole = await cli.start(await cli.home(), ['--handler', 'upper'])
    const file = join(folder, 'medium')
    await using handle = await open(file, 'w')
    await handle.truncate(70 * MB)
    const error = jsonError(await cli.run(alone, ['send-task', whole.address, '--payload', file, '--json']))
    assert.equal(error.exit, 9)
    assert.match(error.message, /^the peer accepts no frame larger than 67108864 bytes$/)
    assert.match(error.hint ?? '', /--max-frame-bytes/)
    const { accepted, reason } = await whole.running.event('task')
    assert.deepEqual([accepted, reason], [false, 'limit'])
    assert.equal(whole.running.events.filter(({ event }) => event === 'task').length, 1)
  })

  async function counts(): Promise<{ sentFailed: number; sentAccepted: number }> {
    return (await cli.json<{ tasks: { sentFailed: number; sentAccepted: number } }>(attached.home, ['status'])).tasks
  }
})
