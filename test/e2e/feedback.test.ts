import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, type RunningNode } from '../support/cli.ts'
import { type PtyOptions, Terminal } from '../support/pty.ts'

const BLANK = '\r\u001b[K'
const SIZE = 24_000_000
const IMAGE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 255, 10])

describe('one task on a terminal', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let node: RunningNode
  let home: string
  let folder: string

  before(async () => {
    node = await cli.start(await cli.home(), ['--handler', 'echo'])
    home = await cli.home({ bootstrap: [node.address] })
  })

  beforeEach(async () => {
    folder = await cli.folder()
  })

  afterEach(async () => {
    await Promise.all(terminals.splice(0).map(async (terminal) => terminal.end()))
  })

  after(async () => cli.clean())

  function open(args: string[], options: PtyOptions = {}): Terminal {
    const terminal = new Terminal(home, args, { cwd: folder, ...options })
    terminals.push(terminal)
    return terminal
  }

  for (const columns of [80, 120]) {
    it(`of a large payload shows a bar, and one line at its end: ${columns} columns`, async () => {
      await writeFile(join(folder, 'big'), Buffer.alloc(SIZE, 'x'))
      const args = ['send-task', node.peerId, '--payload', 'big', '--output', 'big.out']
      const terminal = open(args, { columns })
      assert.equal(await terminal.ended, 0)
      const drawn = terminal.output.split(BLANK)
      const bars = drawn.filter((line) => /^\[=*> *\] +\d+ %, [\d.]+ (k|M)?B? ?of 24 MB sent, .*[\d.]+ [kM]?B\/s, /.test(line))
      assert.ok(bars.length > 0 && bars.every((line) => line.length < columns), terminal.output)
      assert.match(terminal.screen.text, /^24 MB sent, 24 MB → big\.out, [\d.]+ m?s, [\d.]+ [kM]B\/s\n?$/)
      assert.equal((await stat(join(folder, 'big.out'))).size, SIZE)
    })

    it(`whose result is not text keeps it in a file that the line names: ${columns} columns`, async () => {
      await writeFile(join(folder, 'image'), IMAGE)
      const terminal = open(['send-task', node.peerId, '--payload', 'image', '--task-id', 'a task'], { columns })
      assert.equal(await terminal.ended, 0)
      const file = join(folder, 'result-a-task.bin')
      assert.equal(terminal.screen.text.replaceAll('\n', ''), `the result is not text: kept in ${file} (7 B)`)
      assert.deepEqual(await readFile(file), IMAGE)
      assert.equal((await stat(file)).mode & 0o777, 0o600)
    })
  }

  it('that takes more than a second says that it waits, and how long it took', async () => {
    const slow = await cli.start(await cli.home(), ['--handler', 'sh:sleep 1.5; printf done'])
    const terminal = open(['send-task', slow.address, '--text', 'hello'])
    await terminal.shows(/^waiting for the answer, 1 s$/m)
    assert.equal(await terminal.ended, 0)
    assert.match(terminal.screen.text, /^done\n5 B sent, 4 B received, \d+\.\d s\n?$/)
  })

  it('that is a call of another protocol says the same', async () => {
    const slow = await cli.start(await cli.home(), ['--handler', 'sh:sleep 1.5; printf done'])
    const terminal = open(['call', slow.address, '/subnet/task_protocol/1.0.0', '--data', '{"taskId":"t"}'])
    await terminal.shows(/^waiting for the answer, 1 s$/m)
    assert.equal(await terminal.ended, 0)
    assert.match(terminal.screen.text, /^\{\n[\s\S]*"result": "ZG9uZQ=="\n\}\n3 B sent, 8 B received, \d+\.\d s\n?$/)
  })

  it('whose large result is not text names the file once', async () => {
    await writeFile(join(folder, 'big'), Buffer.alloc(SIZE))
    const terminal = open(['send-task', node.peerId, '--payload', 'big', '--task-id', 't'], { columns: 200 })
    assert.equal(await terminal.ended, 0)
    assert.match(
      terminal.screen.text,
      /^the result is not text: kept in \S+result-t\.bin \(24 MB\)\n24 MB sent, 24 MB received, \S+ m?s, [\d.]+ [kM]B\/s\n?$/,
    )
  })

  it('whose result is empty says so', async () => {
    for (const args of [[], ['--output', 'none']]) {
      const terminal = open(['send-task', node.peerId, '--text', '', ...args])
      assert.equal(await terminal.ended, 0)
      assert.equal(terminal.output, 'the result is empty\r\n')
    }
    const off = await cli.run(home, ['send-task', node.peerId, '--text', ''])
    assert.deepEqual([off.code, off.stdout, off.stderr], [0, '', ''])
  })

  it('of a batch is one of many lines, which can go to a file instead', async () => {
    const batch = [1, 2].map((text) => `{"text":"${text}"}\n`).join('')
    await writeFile(join(folder, 'batch'), batch)
    for (const [args, hint] of [
      [['--batch', 'batch'], 'hint: --resume RESULTS writes the results to a file instead of the terminal\n'],
      [['--batch', 'batch', '--resume', 'results'], ''],
    ] as const) {
      const terminal = open(['send-task', node.peerId, ...args], { columns: 200 })
      assert.equal(await terminal.ended, 0)
      const [, after] = terminal.screen.text.split(/2 tasks: 2 accepted, 0 rejected, 0 failed in .*\n/)
      assert.equal(`${after?.trimEnd()}\n`.trimStart(), hint)
    }
  })

  it('that is small and fast shows its result and nothing else, on a line of its own', async () => {
    const terminal = open(['send-task', node.peerId, '--text', 'hello'])
    assert.equal(await terminal.ended, 0)
    assert.equal(terminal.output, 'hello\r\n')
  })

  it('shows no bar with NO_COLOR or on a dumb terminal, but the line at its end', async () => {
    await writeFile(join(folder, 'big'), Buffer.alloc(SIZE, 'x'))
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      const terminal = open(['send-task', node.peerId, '--payload', 'big', '--output', 'big.out'], { env })
      assert.equal(await terminal.ended, 0)
      assert.match(terminal.output, /^24 MB sent, 24 MB → big\.out, [^\r\n]*\r\n$/)
    }
  })

  it('in a shell is told in the same way, and its result does not stick to the prompt', async () => {
    await writeFile(join(folder, 'image'), IMAGE)
    await writeFile(join(folder, 'big'), Buffer.alloc(SIZE, 'x'))
    await cli.start(home)
    for (const command of ['attach', 'start']) {
      const terminal =
        command === 'attach'
          ? open(['attach'])
          : open(['start', '--listen', '/ip4/127.0.0.1/tcp/0', '--bootstrap', node.address, '--home', await cli.home()])
      await terminal.prompt()
      terminal.type(`send-task ${node.peerId} --text hello\r`)
      // the event of the task may stand between them
      await terminal.shows(/^hello$/m)
      await terminal.prompt()
      terminal.type(`send-task ${node.peerId} --payload image --task-id ${command}\r`)
      await terminal.until(
        ({ text }) => text.replaceAll('\n', '').includes(`the result is not text: kept in ${join(folder, `result-${command}.bin`)} (7 B)`),
        'the line of the file',
      )
      await terminal.prompt()
      terminal.type(`send-task ${node.peerId} --payload big --output big.out\r`)
      await terminal.shows(/^24 MB sent, 24 MB → big\.out, [\d.]+ m?s, [\d.]+ [kM]B\/s$/m)
      await terminal.prompt()
      terminal.type(`send-task ${node.peerId} --payload no-such-file\r`)
      await terminal.shows(/cannot be read/)
      await terminal.prompt()
    }
    assert.deepEqual((await readdir(folder)).sort(), ['big', 'big.out', 'image', 'result-attach.bin', 'result-start.bin'])
  })

  it('off a terminal gives its result byte by byte, and says nothing', async () => {
    await writeFile(join(folder, 'image'), IMAGE)
    await writeFile(join(folder, 'big'), Buffer.alloc(SIZE, 'x'))
    const image = await cli.run(home, ['send-task', node.peerId, '--payload', 'image'], { cwd: folder })
    assert.deepEqual([image.code, image.bytes, image.stderr], [0, IMAGE, ''])
    const big = await cli.run(home, ['send-task', node.peerId, '--payload', 'big', '--output', 'big.out'], { cwd: folder })
    assert.deepEqual([big.code, big.stdout, big.stderr], [0, '', ''])
  })
})
