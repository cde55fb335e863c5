import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, jsonError, type RunningNode } from '../support/cli.ts'

const MIB = 1 << 20
/** Nobody is there. */
const DEAD = '/ip4/127.0.0.1/tcp/1'

describe('a task over a relay with its default limits', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let relay: RunningNode
  let hidden: RunningNode
  let args: string[]

  before(async () => {
    relay = await cli.start(await cli.home(), ['--relay-service', 'on'])
    hidden = await cli.start(await cli.home(), ['--handler', 'echo', '--announce', DEAD, '--bootstrap', relay.address])
    await relay.running.event(
      'heartbeat',
      ({ peerId, multiaddrs }) => peerId === hidden.peerId && (multiaddrs as string[]).some((address) => address.includes('/p2p-circuit/')),
    )
    const payload = join(await cli.folder(), 'payload')
    await writeFile(payload, randomBytes(20 * MIB))
    args = ['send-task', hidden.peerId, '--payload', payload, '--bootstrap', relay.address]
  })

  after(async () => cli.clean())

  it('of 20 MiB ends with 9, and names the relay, its limit and the setting', async () => {
    const { code, stderr } = await cli.run(await cli.home(), args)
    assert.equal(code, 9, stderr)
    const [error = '', hint = ''] = stderr.split('\n').filter((line) => /^(error|hint): /.test(line))
    assert.ok(
      error.startsWith(
        `error: the relay ${relay.address} ended the connection: its limit for each connection is 16 MiB, both ways together; `,
      ),
      stderr,
    )
    assert.ok(hint.startsWith('hint: raise relayBytes on the relay; '), stderr)
  })

  it('of 20 MiB says the same in JSON', async () => {
    const outcome = await cli.run(await cli.home(), [...args, '--json'])
    const { code, exit, message, hint } = jsonError(outcome)
    assert.deepEqual([outcome.code, code, exit], [9, 'LIMIT_EXCEEDED', 9])
    assert.ok(message.startsWith(`the relay ${relay.address} ended the connection: its limit for each connection is 16 MiB, `), message)
    assert.match(hint ?? '', /^raise relayBytes on the relay/)
  })

  it('of 7 MiB comes back whole', async () => {
    const payload = randomBytes(7 * MIB)
    const { code, bytes, stderr } = await cli.run(
      await cli.home(),
      ['send-task', hidden.peerId, '--payload', '-', '--bootstrap', relay.address],
      { stdin: payload },
    )
    assert.equal(code, 0, stderr)
    assert.ok(bytes.equals(payload))
  })
})
