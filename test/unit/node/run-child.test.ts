import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ChildOptions, runChild } from '../../../src/node/handlers/run-child.ts'
import { bodyOf } from '../../../src/protocol/message/body-bytes.ts'
import { gone, present } from '../../support/cli.ts'
import { Source } from '../../support/messages.ts'
import { eventually } from '../../support/protocol-host.ts'
import { TempFolders } from '../../support/temp.ts'

const NOTHING = Buffer.alloc(0)

describe('a program that is run for a task', function () {
  this.timeout(30_000)
  const folders = new TempFolders()

  after(async () => folders.clean())

  async function run(
    command: string[],
    input: Uint8Array | string | AsyncIterable<Uint8Array> = NOTHING,
    options: Partial<ChildOptions> = {},
  ): Promise<Buffer> {
    const chunks = typeof input === 'string' || input instanceof Uint8Array ? bodyOf(Buffer.from(input)).chunks : input
    await using result = await runChild(command as [string], chunks, {
      env: {},
      signal: new AbortController().signal,
      timeoutMs: 20_000,
      maxOutputBytes: 10_000_000,
      ...options,
    })
    return Buffer.concat(await Array.fromAsync(result.chunks()))
  }

  /** The argument of a sleep that no other process has. */
  function endless(): string {
    return `4000${Math.floor(Math.random() * 1e9)}`
  }

  it('gets the input whole and gives its output whole', async () => {
    const bytes = randomBytes(3_000_000)
    assert.ok((await run(['cat'], bytes)).equals(bytes))
    assert.equal((await run(['cat'])).byteLength, 0)
  })

  it('may close its stdin before it has read everything, or never read it', async () => {
    const bytes = randomBytes(3_000_000)
    assert.ok((await run(['head', '-c', '3'], bytes)).equals(bytes.subarray(0, 3)))
    assert.equal((await run(['/bin/sh', '-c', 'exec 0<&-; echo early'], bytes)).toString(), 'early\n')
    assert.equal((await run(['true'], bytes)).byteLength, 0)
  })

  it('gets its input as it comes, and no faster than it reads', async () => {
    const source = new Source(100_000_000)
    const folder = await folders.make()
    const slow = run(['/bin/sh', '-c', `head -c 1000 > ${folder}/first; while [ ! -e ${folder}/go ]; do sleep 0.05; done; wc -c`], source)
    await eventually(() => existsSync(join(folder, 'first')) && source.given > 100_000, 'it has begun to read')
    assert.ok(source.given < 2_000_000, `${source.given} bytes were asked for`)
    await writeFile(join(folder, 'go'), '')
    // head may have taken more than it printed
    assert.ok(Number((await slow).toString()) > 99_000_000)
  })

  it('that has enough of its input does not wait for the rest of it', async () => {
    const left = Promise.withResolvers<void>()
    const goesOn = Promise.withResolvers<void>()
    const hanging = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield Buffer.from('a line\nand more')
        await goesOn.promise
      } finally {
        left.resolve()
      }
    }
    assert.equal((await run(['head', '-n', '1'], hanging())).toString(), 'a line\n')
    goesOn.resolve()
    await left.promise
  })

  it('whose input breaks off is killed before it could take what came for all of it', async () => {
    for (let round = 0; round < 5; round++) {
      const folder = await folders.make()
      const broken = new Source(1_000_000, { fails: new Error('the caller is gone') })
      const script = `wc -c > ${folder}/begun; echo "took all of it" > ${folder}/taken; sleep 1`
      await assert.rejects(run(['/bin/sh', '-c', script], broken), { message: 'the caller is gone' })
      assert.deepEqual(await readdir(folder), ['begun'])
    }
  })

  it('sees the environment of the node, and what is added to it', async () => {
    const output = await run(['/bin/sh', '-c', 'echo "$ADDED"; test -n "$PATH" && echo "and PATH"'], NOTHING, { env: { ADDED: 'a b' } })
    assert.equal(output.toString(), 'a b\nand PATH\n')
  })

  it('fails by its exit code, with the last that it said on stderr', async () => {
    await assert.rejects(run(['/bin/sh', '-c', 'echo result; exit 3']), { message: 'the handler exited with 3' })
    const talkative = run(['/bin/sh', '-c', 'yes noise | head -n 5000 >&2; echo the reason >&2; exit 1'])
    await assert.rejects(talkative, ({ message }: Error) => {
      assert.match(message, /^the handler exited with 1: [\s\S]*noise\nthe reason$/)
      assert.ok(message.length < 5_000)
      return true
    })
  })

  it('fails when a signal ends it', async () => {
    await assert.rejects(run(['/bin/sh', '-c', 'kill -TERM $$']), { message: 'the handler was ended by SIGTERM' })
  })

  it('that is not installed, or is no program, is told so in clear words', async () => {
    const message = "the handler's command no-such-program cannot be run: it is not installed here"
    await assert.rejects(run(['no-such-program', 'x'], randomBytes(1_000_000)), { message })
    const file = join(await folders.make(), 'file')
    await writeFile(file, 'x')
    await assert.rejects(run([file]), { message: `the handler's command ${file} cannot be run: permission denied` })
  })

  it('is killed with all that it started when its time is over', async () => {
    const mark = endless()
    const running = run(['/bin/sh', '-c', `sleep ${mark} & sleep ${mark}; echo never`], NOTHING, { timeoutMs: 300 })
    await assert.rejects(running, { message: 'the handler ran longer than 300 ms' })
    await gone(mark)
  })

  it('is killed when it is no longer wanted', async () => {
    const mark = endless()
    const unwanted = new AbortController()
    const running = run(['sleep', mark], NOTHING, { signal: unwanted.signal })
    await present(mark)
    unwanted.abort()
    await assert.rejects(running, { message: 'the task is no longer wanted' })
    await gone(mark)
  })

  it('is not even started when it is not wanted any more', async () => {
    await assert.rejects(run(['true'], NOTHING, { signal: AbortSignal.abort(new Error('too late')) }), { message: 'too late' })
  })

  it('is killed when it prints more than is allowed, and may print exactly that', async () => {
    const options = { maxOutputBytes: 100_000 }
    assert.equal((await run(['head', '-c', '100000', '/dev/zero'], NOTHING, options)).byteLength, 100_000)
    const message = "the handler printed more than 100000 bytes, this node's limit for a result"
    await assert.rejects(run(['head', '-c', '100001', '/dev/zero'], NOTHING, options), { message })
    await assert.rejects(run(['yes'], NOTHING, options), { message })
  })

  it('takes with it what it left in the background', async () => {
    const mark = endless()
    assert.equal((await run(['/bin/sh', '-c', `sleep ${mark} & echo done`])).toString(), 'done\n')
    await gone(mark)
  })

  it('does not outlive a node that ends in a hurry', async () => {
    const mark = endless()
    const script = `
      import { runChild } from '${new URL('../../../src/node/handlers/run-child.ts', import.meta.url)}'
      const options = { env: {}, signal: new AbortController().signal, timeoutMs: 60_000, maxOutputBytes: 1 }
      void runChild(['sleep', process.env.MARK], (async function* () {})(), options)
      process.stdin.once('data', () => process.exit(0))`
    const node = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, MARK: mark },
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    try {
      await present(mark)
      node.stdin.write('now')
      await once(node, 'exit')
      await gone(mark)
    } finally {
      node.kill('SIGKILL')
    }
  })

  it('gives its result although something that left its process group holds the pipe', async () => {
    const script = `
      const { spawn } = require('node:child_process')
      const child = spawn('sleep', ['${endless()}'], { detached: true, stdio: 'inherit' })
      child.unref()
      process.stdout.write(String(child.pid))`
    const pid = Number((await run([process.execPath, '-e', script])).toString())
    assert.ok(pid > 0)
    // it got away: that is for the test to end
    process.kill(pid, 'SIGKILL')
  })
})
