import assert from 'node:assert/strict'
import { Cli, jsonError, type RunOptions } from '../support/cli.ts'

const TIME = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`
const WORKER = ['--handler', 'sh:echo out of paint >&2; exit 3']

describe('the log of a node', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  /** What a worker writes to stderr while it rejects a task. */
  async function rejecting(args: string[], options: RunOptions = {}): Promise<string> {
    const worker = await cli.start(await cli.home(), [...WORKER, ...args], options)
    const { code } = await cli.run(await cli.home(), ['send-task', worker.address, '--text', 'x', '--task-id', 'paint'])
    assert.equal(code, 7)
    return (await worker.stop()).stderr
  }

  it('is an object a line with --log-format json: time, level, scope, message, reason, fields', async () => {
    const stderr = await rejecting(['--log-format', 'json', '--log-level', 'debug'])
    const entries = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    for (const { time, level, scope, message } of entries) {
      assert.match(`${time} ${level} ${scope} ${message}`, new RegExp(`^${TIME} (error|warn|info|debug) subnet:[a-z0-9]+ \\S`))
    }
    const told = entries.find(({ message }) => message === 'a task was rejected') ?? {}
    const { scope, reason, protocol, task, call } = told
    assert.deepEqual({ scope, protocol, task }, { scope: 'subnet:call', protocol: '/subnet/task_protocol/1.0.0', task: 'paint' })
    assert.match(String(reason), /out of paint/)
    assert.ok(Number.isSafeInteger(call))
  })

  it('has time and scope in its lines of text once somebody asks for more than warnings', async () => {
    const stderr = await rejecting([], { env: { SUBNET_LOG: 'call:debug,*:warn' } })
    assert.match(
      stderr,
      /info subnet:call: a task was rejected: .*out of paint.* rejection=exit-code peer=12D3KooW\w+ protocol=\S+ call=\d+ task=paint$/m,
    )
    for (const line of stderr.trim().split('\n')) {
      assert.match(line, new RegExp(`^${TIME} (error|warn|info|debug) subnet:[a-z0-9]+: \\S`))
    }
  })

  it('lets --log-level count more than a rule for all in the environment', async () => {
    const stderr = await rejecting(['--log-level', 'debug'], { env: { SUBNET_LOG: '*:error,dial:silent' } })
    assert.match(stderr, /info subnet:call: a task was rejected: /)
    assert.doesNotMatch(stderr, /subnet:dial/)
  })

  it('is silent by default where all is well', async () => {
    assert.equal(await rejecting([]), '')
  })

  it('names the scopes and levels where SUBNET_LOG has others', async () => {
    const outcome = await cli.run(await cli.home(), ['id', '--json'], { env: { SUBNET_LOG: 'calls:debug' } })
    assert.equal(outcome.code, 2)
    assert.match(
      jsonError(outcome).message,
      /^SUBNET_LOG: .*"calls:debug".* expected SCOPE:LEVEL, with a scope of \*, node, call, .*trace$/,
    )
  })
})
