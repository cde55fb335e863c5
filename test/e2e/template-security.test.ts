import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { Cli, jsonError } from '../support/cli.ts'
import { newPeer } from '../support/keys.ts'
import { OtherStacks } from '../support/other-stacks.ts'
import { type TemplatePeer, templatePeer } from '../support/template-peer.ts'

const HINT = /registered on its chain.*"subnet id".*"subnet chain lookup <peer ID>"/

describe('a node of the template that does not let us in, from the command line', function () {
  this.timeout(60_000)
  const cli = new Cli()
  const stacks = new OtherStacks()
  let peer: TemplatePeer

  beforeEach(async () => {
    peer = await templatePeer(stacks, { refuses: () => true })
  })

  afterEach(async () => stacks.stop())

  after(async () => cli.clean())

  for (const args of [['send-task', '--text', 'x'], ['ping'], ['connect'], ['resolve'], ['protocol list']]) {
    it(`ends with 12 after one handshake: ${args.join(' ')}`, async () => {
      const [command = '', ...rest] = args
      const outcome = await cli.run(await cli.home(), [...command.split(' '), peer.address, ...rest, '--json'])
      const error = jsonError(outcome)
      assert.deepEqual([outcome.code, error.code, error.exit], [12, 'NOT_ADMITTED', 12], outcome.stdout)
      assert.match(error.message, /did not admit this node: it ended the connection right after the handshake/)
      assert.match(error.hint ?? '', HINT)
      assert.equal(peer.handshakes(), 1)
    })
  }

  it('says it in two lines without --json', async () => {
    const outcome = await cli.run(await cli.home(), ['send-task', peer.address, '--text', 'x'])
    assert.deepEqual([outcome.code, outcome.stdout], [12, ''])
    const [error = '', hint = '', ...rest] = outcome.stderr.trimEnd().split('\n')
    assert.match(error, /^error: .*did not admit this node/)
    assert.match(hint, HINT)
    assert.deepEqual(rest, [])
    assert.equal(peer.handshakes(), 1)
  })

  it('ends with 12 where it is the only bootstrap of a command that looks for another peer', async () => {
    const { peerId } = await newPeer()
    const outcome = await cli.run(await cli.home(), ['resolve', peerId.toString(), '--bootstrap', peer.address, '--json'])
    const error = jsonError(outcome)
    assert.deepEqual([outcome.code, error.code], [12, 'NOT_ADMITTED'], outcome.stdout)
    assert.match(error.message, /nobody could be asked: bootstrap .*did not admit this node/)
    assert.match(error.hint ?? '', HINT)
    assert.equal(peer.handshakes(), 1)
  })

  it('is told once in the log of a node whose bootstrap it is, and in its status', async () => {
    const home = await cli.home()
    const node = await cli.start(home, ['--bootstrap', peer.address])
    const { running } = node
    while (!/did not admit/.test(running.stderr)) {
      await once(running.child.stderr as Readable, 'data')
    }
    const outcome = await cli.run(home, ['status', '--json'])
    const { healthy, problems } = JSON.parse(outcome.stdout)
    assert.equal(healthy, false)
    assert.deepEqual(
      problems.map(({ code }: { code: string }) => code),
      ['NOT_ADMITTED'],
    )
    assert.equal(outcome.code, 12)
    await node.stop()
    const { stderr } = await node.running.ended
    assert.equal(stderr.match(/did not admit this node/g)?.length, 1, stderr)
  })

  it('is followed by the command of its hint, which says whether this node is registered', async () => {
    const home = await cli.home()
    const chain = ['--chain', `ledger:${join(await cli.folder(), 'ledger.db')}`]
    const { peerId } = await cli.json<{ peerId: string }>(home, ['id'])
    const before = await cli.run(home, ['chain', 'lookup', peerId, ...chain, '--json'])
    assert.equal(before.code, 3)
    assert.match(jsonError(before).message, /and the peer is not registered in the subnet$/)
    await cli.json(home, ['chain', 'register', ...chain])
    const after = await cli.run(home, ['chain', 'lookup', peerId, ...chain, '--json'])
    assert.match(jsonError(after).message, /is registered in subnet 1 \(class registered\), and has no address on the chain$/)
  })
})
