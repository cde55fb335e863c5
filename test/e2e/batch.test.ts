import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { spawn } from '@lydell/node-pty'
import { Cli, jsonError, type Outcome, present, type RunningNode, until } from '../support/cli.ts'

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
const STRANGER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
/** In bash, as scripts are written that must not go on after a failure. */
const STRICT = 'exec bash -euo pipefail -c'

interface ResultLine {
  index: number
  taskId: string | null
  accepted?: boolean
  resultBase64?: string
  error: { code: string; exit?: number; message: string } | null
}

/** Every line of stdout, by its index. */
function results({ stdout }: Outcome): ResultLine[] {
  assert.ok(stdout === '' || stdout.endsWith('\n'), 'the last line is whole')
  const lines = stdout.split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as ResultLine).sort((a, b) => a.index - b.index)
}

function ndjson(tasks: object[]): string {
  return tasks.map((task) => `${JSON.stringify(task)}\n`).join('')
}

function texts(count: number): object[] {
  return Array.from({ length: count }, (_, i) => ({ text: `text ${i}`, taskId: `task ${i}` }))
}

describe('a batch of tasks', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let node: RunningNode
  let home: string
  let folder: string

  before(async () => {
    folder = await cli.folder()
    node = await cli.start(await cli.home(), ['--handler', 'sh:t=$(cat); case "$t" in no*) echo "$t" >&2; exit 1;; esac; printf %s "$t"'])
    home = await cli.home()
  })

  after(async () => cli.clean())

  async function file(name: string, tasks: object[]): Promise<string> {
    await writeFile(join(folder, name), ndjson(tasks))
    return join(folder, name)
  }

  it('is answered line by line, and a summary on stderr', async () => {
    for (const args of [[], ['--json']]) {
      const outcome = await cli.run(home, ['send-task', node.address, '--batch', await file('good', texts(40)), ...args])
      assert.equal(outcome.code, 0, outcome.stderr)
      assert.match(outcome.stderr, /^40 tasks: 40 accepted, 0 rejected, 0 failed in [\d.]+ m?s \([\d.]+\/s\)\n$/)
      const lines = results(outcome)
      assert.deepEqual(
        lines.map(({ index, taskId, resultBase64 }) => [index, taskId, Buffer.from(String(resultBase64), 'base64').toString()]),
        lines.map((_, i) => [i, `task ${i}`, `text ${i}`]),
      )
      assert.equal(lines.length, 40)
    }
  })

  it('is answered the same on a running node', async () => {
    const homeOfNode = await cli.home()
    await cli.start(homeOfNode, ['--bootstrap', node.address])
    const outcome = await cli.run(homeOfNode, ['send-task', node.peerId, '--batch', '-', '--concurrency', '4'], {
      stdin: ndjson(texts(20)),
    })
    assert.equal(outcome.code, 0, outcome.stderr)
    assert.deepEqual(
      results(outcome).map(({ taskId, accepted }) => [taskId, accepted]),
      texts(20).map((task) => [(task as ResultLine).taskId, true]),
    )
  })

  it('fails its bad lines, and ends with the code of the first failure', async () => {
    const lines = ndjson([{ text: 'yes' }, { text: 'no, thanks' }, { peer: `/ip4/127.0.0.1/tcp/1/p2p/${STRANGER}`, text: 'x' }])
    const stdin = `${lines}\nnonsense\n${ndjson([{ peer: node.address, text: 'yes' }])}`
    const outcome = await cli.run(home, ['send-task', node.address, '--batch', '-', '--json'], { stdin })
    assert.equal(outcome.code, 7)
    assert.deepEqual(
      results(outcome).map(({ accepted, error }) => error?.code ?? accepted),
      [true, 'TASK_REJECTED', 'UNREACHABLE', 'USAGE', true],
    )
    assert.match(String(results(outcome)[3]?.error?.message), /^line 5 of stdin: not JSON/)
    assert.match(
      outcome.stderr,
      /^5 tasks: 2 accepted, 1 rejected, 2 failed in .*\nexit code 7: index 1 is the first task that was not accepted\n$/,
    )
  })

  it('without tasks is done', async () => {
    const outcome = await cli.run(home, ['send-task', '--batch', '-'], { stdin: '' })
    assert.deepEqual([outcome.code, outcome.stdout, outcome.stderr], [0, '', '0 tasks\n'])
  })

  it('that cannot be read is a usage error', async () => {
    const outcome = await cli.run(home, ['send-task', node.address, '--batch', join(folder, 'none'), '--json'])
    assert.equal(outcome.code, 2)
    assert.equal(jsonError(outcome).message, `the batch ${join(folder, 'none')} cannot be read: no such file or directory`)
    assert.equal(outcome.stderr, '')
    const people = await cli.run(home, ['send-task', node.address, '--batch', folder])
    assert.deepEqual([people.code, people.stdout], [2, ''])
    assert.match(people.stderr, /^error: the batch .* cannot be read: it is a directory\nhint: /)
  })

  it('in a pipeline gives what the next command needs, and its exit code', async () => {
    const batch = await file('pipeline', texts(30))
    const script = `${STRICT} '"$SUBNET_TEST_NODE" "$SUBNET_TEST_BIN" send-task ${node.address} --batch - < "${batch}" | grep -c "\\"accepted\\":true"; echo done'`
    const good = await cli.shell(home, script)
    assert.deepEqual([good.code, good.stdout], [0, '30\ndone\n'], good.stderr)
    const refused = `${STRICT} 'echo "{\\"text\\":\\"no\\"}" | "$SUBNET_TEST_NODE" "$SUBNET_TEST_BIN" send-task ${node.address} --batch - | cat > /dev/null; echo never'`
    const bad = await cli.shell(home, refused)
    assert.deepEqual([bad.code, bad.stdout], [7, ''], bad.stderr)
  })

  it('that never ends is read as it is answered, until nobody reads the answers: then it ends quietly', async () => {
    const script = `yes '{"text":"x"}' | subnet send-task ${node.address} --batch - 2> "${folder}/err" | head -3 | wc -l`
    const outcome = await cli.shell(home, script)
    assert.deepEqual([outcome.code, outcome.stdout.trim(), outcome.stderr], [0, '3', ''])
    assert.equal(await readFile(join(folder, 'err'), 'utf8'), '')
  })

  it('that is interrupted ends by the signal, with whole lines and a summary of what was done', async () => {
    const sleep = `sleep ${Math.floor(1_000 + Math.random() * 1e6)}`
    const slow = await cli.start(await cli.home(), ['--handler', `sh:test "$(cat)" = quick || ${sleep}`])
    const stdin = new PassThrough()
    const running = cli.launch(home, ['send-task', slow.address, '--batch', '-', '--concurrency', '8'], { stdin })
    stdin.write(ndjson([{ text: 'quick' }]))
    await running.prints(/\n/)
    stdin.write(ndjson(texts(50)))
    await present(sleep)
    const outcome = await running.signal('SIGINT')
    assert.deepEqual([outcome.code, outcome.signal], [null, 'SIGINT'])
    assert.deepEqual(
      results(outcome).map(({ index, accepted }) => [index, accepted]),
      [[0, true]],
    )
    assert.match(
      outcome.stderr,
      /^\d tasks: 1 accepted, 0 rejected, 0 failed, \d cancelled in [^;]*; the peers may have acted on the cancelled tasks; the rest of the batch was not sent\n$/,
    )
  })

  it('gives every task a time of its own', async () => {
    const slow = await cli.start(await cli.home(), ['--handler', 'sh:sleep 1'])
    const args = ['send-task', slow.address, '--batch', '-', '--concurrency', '1', '--timeout']
    const enough = await cli.run(home, [...args, '5s'], { stdin: ndjson(texts(6)) })
    assert.equal(enough.code, 0, enough.stdout)
    const outcome = await cli.run(home, [...args, '500ms'], { stdin: ndjson(texts(3)) })
    assert.equal(outcome.code, 6)
    assert.deepEqual(
      results(outcome).map(({ error }) => error?.code),
      ['TIMEOUT', 'TIMEOUT', 'TIMEOUT'],
    )
  })

  it('whose peer dies half-way fails the rest, each line once', async () => {
    const count = 400
    const dying = await cli.start(await cli.home(), ['--handler', 'echo'])
    for (const [peer, args] of [
      [dying.address, []],
      [dying.peerId, ['--bootstrap', dying.address]],
    ] as const) {
      const running = cli.launch(home, ['send-task', peer, '--batch', await file('dying', texts(count)), '--concurrency', '8', ...args])
      if (peer === dying.address) {
        await running.prints(/(\n[^\n]*){50}/)
        dying.running.child.kill('SIGKILL')
      }
      const outcome = await running.ended
      const lines = results(outcome)
      assert.deepEqual(
        lines.map(({ index }) => index),
        Array.from({ length: count }, (_, i) => i),
      )
      const failures = lines.filter(({ accepted }) => accepted !== true)
      assert.ok(failures.length > 0)
      const codes = new Set(failures.map(({ error }) => error?.code))
      assert.deepEqual(
        [...codes].filter((code) => !['UNREACHABLE', 'REMOTE_FAILED', 'PEER_NOT_FOUND'].includes(String(code))),
        [],
      )
      assert.equal(outcome.code, failures[0]?.error?.exit)
      const good = count - failures.length
      assert.match(
        outcome.stderr,
        new RegExp(
          `\\n?${count} tasks: ${good} accepted, 0 rejected, ${failures.length} failed in .*\\nexit code \\d: index \\d+ is .*\\n$`,
        ),
      )
    }
  })

  describe('that goes on where it broke off', () => {
    /** Answers each task after a moment, and writes down what it got. */
    async function writer(): Promise<{ address: string; seen: () => Promise<string[]>; running: RunningNode }> {
      const seen = join(await cli.folder(), 'seen')
      await writeFile(seen, '')
      const running = await cli.start(await cli.home(), ['--handler', `sh:t=$(cat); echo "$t" >> '${seen}'; sleep 0.02; printf %s "$t"`])
      return { address: running.address, running, seen: async () => (await readFile(seen, 'utf8')).split('\n').slice(0, -1) }
    }

    it('after a kill sends what was not answered, and keeps all that was', async () => {
      const { address, seen } = await writer()
      const count = 200
      const batch = await file('killed', texts(count))
      const resumed = join(folder, 'killed.results')
      const args = ['send-task', address, '--batch', batch, '--concurrency', '4', '--resume', resumed]
      const first = cli.launch(home, args)
      await until(async () => (await readFile(resumed, 'utf8').catch(() => '')).split('\n').length > 50, 'no results')
      await first.signal('SIGKILL')
      const before = await readFile(resumed, 'utf8')
      // as if the kill had come in the middle of a line
      await writeFile(resumed, `${before}{"index":199,"taskId":"task 1`)
      const second = await cli.run(home, args)
      assert.deepEqual([second.code, second.stdout], [0, ''], second.stderr)
      const whole = before.slice(0, before.lastIndexOf('\n') + 1)
      const kept = whole.split('\n').length - 1
      assert.match(
        second.stderr,
        new RegExp(`^${count} tasks: ${count} accepted, 0 rejected, 0 failed \\(${kept} of them before\\) in .*\n$`),
      )
      const after = await readFile(resumed, 'utf8')
      assert.ok(after.startsWith(whole), 'what was there stays')
      const lines = results({ stdout: after } as Outcome)
      assert.deepEqual(
        lines.map(({ index, taskId, accepted }) => [index, taskId, accepted]),
        texts(count).map((task, index) => [index, (task as ResultLine).taskId, true]),
      )
      const twice = (await seen()).length - count
      assert.ok(twice >= 0 && twice <= 4, `only what was under way is sent again: ${twice}`)
      const third = await cli.run(home, args)
      assert.deepEqual(
        [third.code, third.stderr],
        [0, `${count} tasks: ${count} accepted, 0 rejected, 0 failed (${count} of them before)\n`],
      )
    })

    it('lets no other process at the results, until it ends or is killed', async () => {
      const place = await cli.folder()
      const [seen, batch, resumed] = [join(place, 'seen'), join(place, 'batch'), join(place, 'results')]
      await writeFile(batch, ndjson([{ text: 'x', taskId: 't' }]))
      await cli.shell(home, `mkfifo '${place}/gate'`)
      const { address } = await cli.start(await cli.home(), [
        '--handler',
        `sh:echo x >> '${seen}'; [ -e '${place}/open' ] || cat '${place}/gate'`,
      ])
      const tasks = async (): Promise<number> => (await readFile(seen, 'utf8').catch(() => '')).length / 2
      const args = ['send-task', address, '--batch', batch, '--resume', resumed]
      const first = cli.launch(home, args)
      await until(async () => (await tasks()) === 1, 'no task')
      for (const own of [home, await cli.home()]) {
        const refused = await cli.run(own, args)
        assert.deepEqual([refused.code, refused.stdout], [11, ''])
        assert.match(refused.stderr, /^error: another batch writes its results to .*results\nhint: nothing was sent; .*\n$/)
      }
      assert.equal(await tasks(), 1)
      await first.signal('SIGKILL')
      await writeFile(join(place, 'open'), '')
      const last = await cli.run(home, args)
      assert.equal(last.code, 0, last.stderr)
      assert.equal(await tasks(), 2)
      assert.deepEqual((await readdir(place)).sort(), ['batch', 'gate', 'open', 'results', 'seen'])
    })

    it('sends again what the peer cannot have acted on, and ends with the code of the first failure of all', async () => {
      const { address, running } = await writer()
      const peerId = running.peerId
      const batch = await file('again', [
        { peer: node.address, text: 'no' },
        { peer: 'bob', text: 'b' },
        { peer: node.address, text: 'c' },
      ])
      const resumed = join(folder, 'again.results')
      const own = await cli.home()
      const args = ['send-task', '--batch', batch, '--resume', resumed]
      const first = await cli.run(own, args)
      assert.equal(first.code, 7)
      await cli.json(own, ['alias', 'set', 'bob', peerId])
      const second = await cli.run(own, [...args, '--bootstrap', address])
      assert.deepEqual([second.code, second.stdout], [7, ''])
      assert.match(
        second.stderr,
        /^3 tasks: 2 accepted, 1 rejected, 0 failed \(2 of them before\) in .*\nexit code 7: index 0 is the first task that was not accepted\n$/,
      )
      const lines = (await readFile(resumed, 'utf8')).trim().split('\n')
      assert.deepEqual(
        lines
          .map((line) => JSON.parse(line))
          .map(({ index, accepted }) => [index, accepted])
          .slice(-1),
        [[1, true]],
      )
      assert.equal(lines.length, 4)
    })

    it('refuses results of another batch, and leaves them as they are', async () => {
      const batch = await file('own', texts(3))
      const resumed = join(folder, 'other.results')
      const answered = { index: 1, taskId: 'task 1', peerId: node.peerId, accepted: true, error: null, bytesSent: 6 }
      const cases: Record<string, [unknown, RegExp]> = {
        'another id': [{ ...answered, taskId: 'x' }, /line 2 of .*own differs: its task id is task 1, in the results x$/],
        'another peer': [{ ...answered, peerId: STRANGER }, /line 2 of .* differs: its task is for .*, in the results for 12D3KooWMw/],
        'another size': [{ ...answered, bytesSent: 7 }, /its payload has 6 bytes, in the results 7$/],
        'too many': [{ ...answered, index: 3 }, /the last result has index 3, but .*own has 3 tasks$/],
        'no results': [{ peer: 'bob', text: 'x' }, /^line 1 of .*other\.results is not a result of a batch$/],
      }
      for (const [what, [told, message]] of Object.entries(cases)) {
        const text = `${JSON.stringify(told)}\nhalf a line`
        await writeFile(resumed, text)
        const outcome = await cli.run(home, ['send-task', node.address, '--batch', batch, '--resume', resumed, '--json'])
        assert.equal(outcome.code, 2, what)
        assert.match(jsonError(outcome).message, message, what)
        assert.equal(await readFile(resumed, 'utf8'), text, what)
      }
      const piped = await cli.run(home, ['send-task', node.address, '--batch', '-', '--resume', resumed, '--json'], { stdin: '{}' })
      assert.match(jsonError(piped).message, /--resume needs a batch that can be read twice/)
    })

    it('after Ctrl-C says how to continue, and counts the whole file then', async () => {
      const place = await cli.folder()
      const gated = await cli.start(await cli.home(), [
        '--handler',
        `sh:read t; [ "$t" != wait ] || [ -e '${place}/open' ] || { touch '${place}/begun'; exec sleep 1000; }`,
      ])
      const batch = await file('gated', [{ text: 'quick' }, { text: 'wait' }, { text: 'quick' }])
      const args = ['send-task', gated.address, '--batch', batch, '--concurrency', '1', '--resume', join(place, 'results')]
      const first = cli.launch(home, args)
      await until(async () => existsSync(join(place, 'begun')), 'the second task begins')
      const { signal, stderr } = await first.signal('SIGINT')
      assert.equal(signal, 'SIGINT')
      assert.match(
        stderr,
        /^2 tasks: 1 accepted, 0 rejected, 0 failed, 1 cancelled in .*\nrun the same command again to continue; it sends the cancelled tasks again\n$/,
      )
      await writeFile(join(place, 'open'), '')
      const second = await cli.run(home, args)
      assert.equal(second.code, 0)
      assert.match(second.stderr, /^3 tasks: 3 accepted, 0 rejected, 0 failed \(1 of them before\) in .*\n$/)
    })

    it('keeps a last result that lacks only its line feed', async () => {
      const batch = await file('feed', texts(2))
      const resumed = join(folder, 'feed.results')
      const answered = { index: 0, taskId: 'task 0', peerId: node.peerId, accepted: true, error: null, bytesSent: 6 }
      await writeFile(resumed, JSON.stringify(answered))
      const outcome = await cli.run(home, ['send-task', node.address, '--batch', batch, '--resume', resumed])
      assert.equal(outcome.code, 0, outcome.stderr)
      const lines = results({ stdout: await readFile(resumed, 'utf8') } as Outcome)
      assert.deepEqual(
        lines.map(({ index }) => index),
        [0, 1],
      )
    })
  })

  describe('on a terminal', () => {
    async function onTerminal(env: NodeJS.ProcessEnv, input: string): Promise<{ text: string; code: number }> {
      const slow = await cli.start(await cli.home(), ['--handler', 'sh:sleep 0.1; cat'])
      const script = `"${process.execPath}" "${BIN}" send-task ${slow.address} --concurrency 2 --batch ${input} > "${folder}/results"`
      const terminal = spawn('bash', ['-euo', 'pipefail', '-c', script], {
        cols: 90,
        env: { PATH: process.env.PATH, TERM: 'xterm', SUBNET_HOME: home, SUBNET_PORT_MAPPING: 'false', ...env },
      })
      let text = ''
      terminal.onData((data) => {
        text += data
      })
      const ended = new EventTarget()
      terminal.onExit(({ exitCode }) => ended.dispatchEvent(new CustomEvent('exit', { detail: exitCode })))
      const [{ detail: code }] = (await once(ended, 'exit')) as [CustomEvent<number>]
      assert.equal(results({ stdout: await readFile(join(folder, 'results'), 'utf8') } as Outcome).length, 10)
      return { text, code }
    }

    it('shows how far it is on one line, which the summary replaces', async () => {
      const { text, code } = await onTerminal({}, await file('ten', texts(10)))
      assert.equal(code, 0)
      const drawn = text.split('\r\u001b[K')
      assert.ok(
        drawn.some((line) => /^\[=*> *\] +\d+ %, \d+ done, [\d.]+\/s, 2 in flight, 0 rejected, 0 failed, \d+ s left$/.test(line)),
        text,
      )
      assert.match(drawn.at(-1) ?? '', /^10 tasks: 10 accepted, 0 rejected, 0 failed in [^\r\n]*\r\n$/)
      assert.deepEqual(
        drawn.slice(0, -1).filter((line) => line.includes('\n')),
        [],
      )
    })

    for (const env of [{ TERM: 'dumb' }, { NO_COLOR: '1' }]) {
      it(`shows nothing but the summary with ${Object.entries(env).join().replace(',', '=')}`, async () => {
        const { text, code } = await onTerminal(env, await file('ten', texts(10)))
        assert.equal(code, 0)
        assert.match(text, /^10 tasks: [^\r\n]*\r\n$/)
      })
    }
  })
})
