import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Cli, jsonError, type RunningNode } from '../support/cli.ts'

describe('a subnet that requires registration, from the command line', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let chain: string[]
  let member: RunningNode
  let memberHome: string

  before(async () => {
    chain = ['--chain', `ledger:${join(await cli.folder(), 'shared.db')}`]
    memberHome = await cli.home()
    await cli.json(memberHome, ['chain', 'register', ...chain])
    member = await cli.start(memberHome, ['--handler', 'echo', '--admission', 'registered', '--publish', ...chain])
  })

  after(async () => cli.clean())

  it('lets a registered peer in, by peer ID alone', async () => {
    const home = await cli.home()
    await cli.json(home, ['chain', 'register', '--class', 'validator', ...chain])
    const answer = await cli.json(home, ['send-task', member.peerId, '--text', 'hello', ...chain])
    assert.equal(answer['accepted'], true)
  })

  for (const args of [['send-task', '--text', 'x'], ['ping'], ['connect'], ['protocol', 'list'], ['call', '/subnet/reflection/1.0.0']]) {
    it(`ends with 12 and the reason for a stranger: ${args.join(' ')}`, async () => {
      const home = await cli.home()
      const { peerId } = await cli.json<{ peerId: string }>(home, ['id'])
      const [command, ...rest] = args[0] === 'protocol' ? [args.join(' ')] : args
      const words = [...(command ?? '').split(' '), member.address, ...rest]
      const outcome = await cli.run(home, [...words, '--json'])
      const error = jsonError(outcome)
      assert.equal(outcome.code, 12, outcome.stdout)
      assert.equal(error.code, 'NOT_ADMITTED')
      assert.equal(error.message, `${member.peerId} does not let this node in: ${peerId} is not registered in subnet 1`)
    })
  }

  it('ends with 12 for a node that requires it and would call a stranger', async () => {
    const stranger = await cli.start(await cli.home(), ['--handler', 'echo'])
    const outcome = await cli.run(memberHome, ['send-task', stranger.address, '--text', 'x', '--json'])
    assert.equal(outcome.code, 12)
    assert.match(jsonError(outcome).message, /this node connects only to registered peers: \S+ is not registered in subnet 1/)
  })

  it('tells a node that it would itself not be let in', async () => {
    const home = await cli.home()
    const node = await cli.start(home, ['--admission', 'registered', ...chain])
    const outcome = await cli.run(home, ['status', '--json'])
    const { healthy, problems } = JSON.parse(outcome.stdout)
    assert.equal(healthy, false)
    assert.deepEqual(
      problems.map(({ code }: { code: string }) => code),
      ['NOT_ADMITTED'],
    )
    await cli.json(home, ['chain', 'register'])
    assert.notEqual(outcome.code, 0)
    await node.stop()
    assert.match(
      (await node.running.ended).stderr,
      /^warn: peers that require registration refuse this node: .* is not registered in subnet 1/m,
    )
  })

  for (const [flag, value] of [
    ['--admission', 'members'],
    ['--min-class', 'king'],
    ['--admission-on-error', 'shrug'],
    ['--admission-exempt', 'bob'],
  ] as const) {
    it(`takes no ${flag} ${value}`, async () => {
      const outcome = await cli.run(await cli.home(), ['start', flag, value, '--no-repl'])
      assert.equal(outcome.code, 2)
      assert.match(outcome.stderr, new RegExp(`^error: .*${value}`))
    })
  }
})
