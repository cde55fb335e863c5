import assert from 'node:assert/strict'
import { Cli, jsonError, onlyJson } from '../support/cli.ts'
import { PEER_ID } from '../support/seeds.ts'

describe('status --wait', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it('ends as soon as a node that was started meanwhile is healthy', async () => {
    const home = await cli.home()
    const waiting = cli.launch(home, ['status', '--wait', '10m', '--json'])
    const node = await cli.start(home)
    const outcome = await waiting.ended
    assert.deepEqual([outcome.code, onlyJson(outcome)['peerId'], onlyJson(outcome)['healthy']], [0, node.peerId, true])
  })

  it('waits for a node that runs until it is connected to its bootstrap', async () => {
    const [home, other] = [await cli.home(), await cli.start(await cli.home())]
    const lonely = await cli.home({ bootstrap: [`/ip4/127.0.0.1/tcp/1/p2p/${PEER_ID}`] })
    await cli.start(lonely)
    const waiting = cli.launch(lonely, ['status', '--wait', '10m', '--json'])
    assert.equal((await cli.run(lonely, ['status'])).code, 4)
    assert.equal((await cli.run(lonely, ['connect', other.address])).code, 0)
    assert.equal((await waiting.ended).code, 0)
    assert.equal((await cli.run(home, ['status', '--wait', '1ms'])).code, 13)
  })

  it('exits with the first problem that is left in the end, and with 13 where no node came', async () => {
    const lonely = await cli.home({ bootstrap: [`/ip4/127.0.0.1/tcp/1/p2p/${PEER_ID}`] })
    await cli.start(lonely)
    const outcome = await cli.run(lonely, ['status', '--wait', '600ms', '--json'])
    assert.deepEqual([outcome.code, onlyJson(outcome)['healthy']], [4, false])
    const none = await cli.run(await cli.home(), ['status', '--wait', '600ms', '--json'])
    assert.deepEqual([none.code, jsonError(none).code], [13, 'NOT_RUNNING'])
    const wrong = await cli.run(await cli.home(), ['status', '--wait', 'long', '--json'])
    assert.equal(wrong.code, 2)
  })
})
