import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Cli, type Outcome, present } from '../support/cli.ts'

const START = ['start', '--listen', '/ip4/127.0.0.1/tcp/0', '--script']
const STRANGER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const MANY = 10_000

describe('start --script', function () {
  this.timeout(180_000)
  const cli = new Cli()
  let home: string

  beforeEach(async () => {
    home = await cli.home()
  })

  after(async () => cli.clean())

  async function run(script: string, flags: string[] = []): Promise<Outcome> {
    return cli.run(home, [...START, '-', ...flags], { stdin: script })
  }

  it('runs the lines in order, then stops the node: stdout has what they print, and nothing else', async () => {
    const { code, stdout, stderr } = await run(
      `# names\nalias set a ${STRANGER}\n\n  alias set "b" ${STRANGER}\nalias list\nexit\nalias set c ${STRANGER}\n`,
    )
    assert.equal(code, 0, stderr)
    assert.equal(stdout, `a  ${STRANGER}\nb  ${STRANGER}\na  ${STRANGER}\nb  ${STRANGER}\n`)
    assert.match(stderr, /^\S+Z ready: 12D3KooW[\s\S]*\n\S+Z stopping\n$/)
    assert.equal((await cli.run(home, ['status'])).code, 13)
  })

  it('stops at the first line that fails, with its exit code', async () => {
    const { code, stdout, stderr } = await run(`alias list\nchain lookup ${STRANGER}\nalias set c ${STRANGER}\n`)
    assert.equal(code, 3)
    assert.equal(stdout, '')
    assert.match(stderr, /\nerror: the chain has no address.*\nhint: .*\nscript: line 2 failed with 3; the lines after it were not run\n/)
    assert.deepEqual(await cli.json(home, ['alias', 'list']), [])
  })

  it('runs all of them with --keep-going, and ends with the code of the first that failed', async () => {
    const { code, stderr } = await run(`peers | head\nchain lookup ${STRANGER}\nnonsense\nalias set c ${STRANGER}\n`, ['--keep-going'])
    assert.equal(code, 2)
    assert.match(stderr, /script: line 1 failed with 2\n[\s\S]*script: line 2 failed with 3\n[\s\S]*script: line 3 failed with 2\n/)
    assert.deepEqual(await cli.json(home, ['alias', 'list']), [{ alias: 'c', peerId: STRANGER }])
  })

  it('prints one JSON a line with --json: events, answers and errors', async () => {
    const { code, stdout, stderr } = await run(`id\nalias list\nsend-task bob --text -- x\nping bob\n`, ['--json', '--keep-going'])
    assert.deepEqual({ code, stderr }, { code: 2, stderr: '' })
    const [ready, id, aliases, unexpected, ping, stopping, ...rest] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.equal(ready.event, 'ready')
    assert.deepEqual(id, { peerId: ready.peerId, multiaddrs: ready.multiaddrs })
    assert.deepEqual(aliases, [])
    assert.equal(unexpected.error.code, 'USAGE')
    assert.match(ping.error.message, /not a peer: "bob"/)
    assert.equal(stopping.event, 'stopping')
    assert.deepEqual(rest, [])
  })

  it('is ended by a line that stops the node', async () => {
    const { code, stdout } = await run(`stop\nalias set c ${STRANGER}\n`)
    assert.equal(code, 0)
    assert.match(stdout, /^stopped 12D3KooW\S+ \(pid \d+\)\n$/)
    assert.deepEqual(await cli.json(home, ['alias', 'list']), [])
  })

  it('that somebody else stops has not come to its end', async () => {
    const stdin = new PassThrough()
    stdin.write('id\n')
    const running = cli.launch(home, [...START, '-'], { stdin })
    await running.prints(/^12D3KooW/)
    await cli.json(home, ['stop'])
    const { code, stderr } = await running.ended
    assert.equal(code, 13)
    assert.match(stderr, /\nerror: the node was stopped before the script ended\n/)
  })

  it('whose answers cannot be written fails', async function () {
    if (process.platform !== 'linux') {
      this.skip()
    }
    const { code, stderr } = await cli.bash(home, `printf 'id\\nid\\n' | subnet ${START.join(' ')} - > /dev/full`)
    assert.equal(code, 2)
    assert.match(stderr, /error: stdout cannot be written: the disk is full\n/)
  })

  it('may be a file, that can be read', async () => {
    await writeFile(join(home, 'script'), 'id')
    const outcome = await cli.run(home, [...START, join(home, 'script')])
    assert.equal(outcome.code, 0)
    assert.match(outcome.stdout, /^12D3KooW/)
    const none = await cli.run(home, [...START, join(home, 'none')])
    assert.equal(none.code, 2)
    assert.match(none.stderr, /error: the script .*none cannot be read: no such file/)
    const keepGoing = await cli.run(home, ['start', '--keep-going', '--json'])
    assert.equal(keepGoing.code, 2)
  })

  it('does not let a line take the script for its payload', async () => {
    const { code, stderr } = await run(`send-task ${STRANGER} --payload -\nid\n`)
    assert.equal(code, 2)
    assert.match(stderr, /error: the payload cannot be stdin: this shell reads its lines from stdin/)
  })

  it('refuses a line that has no end', async () => {
    const { code, stderr } = await run(`alias list\n${'x'.repeat(2 << 20)}\nid\n`)
    assert.equal(code, 2)
    assert.match(stderr, /error: line 2 of the script is longer than 1048576 bytes/)
  })

  it('ends by the signal that it got, and cancels the line that runs', async () => {
    const other = await cli.start(await cli.home(), ['--handler', 'sh:sleep 987652.5'])
    const running = cli.launch(home, [...START, '-'], { stdin: `send-task ${other.address} --text x\nalias set c ${STRANGER}\n` })
    await present('987652.5')
    const { signal, ms } = await running.signal('SIGTERM')
    assert.equal(signal, 'SIGTERM')
    assert.ok(ms < 10_000)
    assert.deepEqual(await cli.json(home, ['alias', 'list']), [])
  })

  it(`loses none of ${MANY} lines, and keeps their order`, async () => {
    const lines = Array.from({ length: MANY }, (_, index) => `alias remove name${index}\n`)
    const { code, stdout, stderr } = await run(lines.join(''))
    assert.equal(code, 0, stderr.slice(0, 1_000))
    const answers = stdout.trimEnd().split('\n')
    assert.equal(answers.length, MANY)
    answers.forEach((answer, index) => {
      assert.equal(answer, `there was no alias "name${index}"`)
    })
  })
})

describe('in a shell', function () {
  this.timeout(120_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it('pipelines work under "set -euo pipefail", with a running node and without', async () => {
    const [node, home] = [await cli.start(await cli.home(), ['--handler', 'upper']), await cli.home()]
    const script = `
      set -euo pipefail
      printf 'hello' | subnet send-task ${node.address} --payload - | tr A-Z a-z > "$SUBNET_HOME/result"
      [ "$(cat "$SUBNET_HOME/result")" = hello ]
      subnet connect ${node.address} --json | grep -q '"direction":"outbound"'
      if subnet status; then exit 90; else [ $? = 13 ] || exit 91; fi
      if subnet chain lookup ${STRANGER} --json > "$SUBNET_HOME/error"; then exit 92; else [ $? = 3 ] || exit 93; fi
      grep -q '"code":"PEER_NOT_FOUND"' "$SUBNET_HOME/error"
      printf 'a\\nb\\nc\\n' | while read -r word; do subnet send-task ${node.address} --text "$word"; echo; done | sort -r | head -1
    `
    const alone = await cli.bash(home, script)
    assert.deepEqual({ code: alone.code, stdout: alone.stdout }, { code: 0, stdout: 'C\n' }, alone.stderr)
    await cli.start(home)
    const attached = await cli.bash(home, script.replace(/if subnet status.*/, 'subnet status > /dev/null'))
    assert.deepEqual({ code: attached.code, stdout: attached.stdout }, { code: 0, stdout: 'C\n' }, attached.stderr)
  })

  it('output has no colours where it is not wanted, and a reader that has enough is no error', async () => {
    const home = await cli.home()
    await cli.start(home)
    const { code, stdout, stderr } = await cli.bash(
      home,
      `set -euo pipefail
       subnet status | cat
       NO_COLOR=1 subnet status
       TERM=dumb subnet status --no-color
       subnet --help | head -1
       subnet status --json | head -c 1 > /dev/null
       subnet nonsense 2> /dev/null || echo "rc=$?"`,
    )
    assert.equal(code, 0, stderr)
    assert.ok(!stdout.includes('\u001b'))
    assert.equal(stderr, '')
    assert.match(stdout, /\nrc=2\n$/)
  })
})
