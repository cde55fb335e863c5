import assert from 'node:assert/strict'
import { Cli, jsonError, type Outcome } from '../support/cli.ts'
import { NODE_1, RECORDED, SUBNET } from '../support/hypertensor-state.ts'
import { newPeer } from '../support/keys.ts'
import { StandInChain } from '../support/stand-in-chain.ts'

const AWAY = /the chain is unreachable: this is its answer (at block 5, )?from \d+(\.\d+)? (ms|s) ago/
const [WITHOUT_ADDRESS = ''] = Object.values(RECORDED.nodes).flatMap(({ peerId, multiaddr }) => (multiaddr == null ? [peerId] : []))

describe('a chain that went away', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let chain: StandInChain
  let flags: string[]
  let home: string
  let stranger: string

  beforeEach(async () => {
    chain = await StandInChain.start()
    flags = ['--chain', `hypertensor:${chain.url}`, '--subnet-id', String(SUBNET)]
    home = await cli.home()
    stranger = (await newPeer()).peerId.toString()
  })

  afterEach(async () => {
    await cli.clean()
    await chain.stop()
  })

  async function chainCommand(args: string[]): Promise<{ json: Outcome; text: Outcome }> {
    const command = ['chain', ...args, ...flags]
    return { json: await cli.run(home, [...command, '--json']), text: await cli.run(home, command) }
  }

  for (const [what, peer, code] of [
    ['a known peer', () => NODE_1.toString(), 0],
    ['a registered peer without an address', () => WITHOUT_ADDRESS, 3],
    ['a stranger', () => stranger, 3],
  ] as const) {
    it(`looks up ${what}: exit ${code} as before, marked stale, with block and time`, async () => {
      const fresh = await chainCommand(['lookup', peer()])
      assert.doesNotMatch(fresh.text.stderr, AWAY)
      await chain.stop()
      const away = await chainCommand(['lookup', peer()])
      assert.deepEqual([fresh.json.code, fresh.text.code, away.json.code, away.text.code], [code, code, code, code])
      assert.match(away.text.stderr, AWAY)
      const [before, now] = [answerOf(fresh.json), answerOf(away.json)]
      assert.deepEqual([before['stale'], now['stale']], [false, true])
      // the text before it was the last answer
      assert.ok(Number(now['readAtMs']) >= Number(before['readAtMs']))
      assert.deepEqual([now['block'], now['registered'], now['nodeId']], [before['block'], before['registered'], before['nodeId']])
    })
  }

  it('lists what it said last, an empty list too, and says how old it is; under --json as well', async () => {
    const fresh = await chainCommand(['list', '--all'])
    const rows: Array<{ stale: boolean; readAtMs: number }> = JSON.parse(fresh.json.stdout)
    assert.equal(rows.length, 5)
    await chain.stop()
    const away = await chainCommand(['list', '--all'])
    assert.deepEqual([away.json.code, away.text.code], [0, 0])
    assert.ok(JSON.parse(away.json.stdout).every((row: { stale: boolean }) => row.stale))
    for (const { stderr } of [away.json, away.text]) {
      assert.match(stderr, AWAY)
    }
  })

  it('says of an empty list that it is an old one', async () => {
    for (const key of [...chain.state.storage.keys()]) {
      if (['SubnetNodesData', 'SubnetBootnodes'].some((map) => key.startsWith(chain.state.key(map, SUBNET)))) {
        chain.state.storage.delete(key)
      }
    }
    const fresh = await chainCommand(['list'])
    assert.deepEqual([fresh.json.stdout, fresh.text.stderr], ['[]\n', 'no peer has published to this chain yet\n'])
    await chain.stop()
    const away = await chainCommand(['list'])
    assert.equal(away.json.stdout, '[]\n')
    for (const { code, stderr } of [away.json, away.text]) {
      assert.equal(code, 0)
      assert.match(stderr, AWAY)
    }
  })

  it('shows what it said last of a peer, and whether it would be let in', async () => {
    const fresh = await chainCommand(['show', NODE_1.toString()])
    await chain.stop()
    const away = await chainCommand(['show', NODE_1.toString()])
    assert.deepEqual([away.json.code, away.text.code], [0, 0])
    const [before, now] = [answerOf(fresh.json), answerOf(away.json)]
    assert.deepEqual({ ...now, readAtMs: 0 }, { ...before, readAtMs: 0, stale: true })
    assert.match(away.text.stdout, AWAY)
  })

  it('is an error, 10, in a home that never heard it', async () => {
    await chain.stop()
    for (const args of [['lookup', NODE_1.toString()], ['lookup', stranger], ['list'], ['list', '--all'], ['show']]) {
      const { json, text } = await chainCommand(args)
      assert.deepEqual([json.code, text.code, jsonError(json).code], [10, 10, 'CHAIN_UNAVAILABLE'], args.join(' '))
      assert.equal(text.stdout, '')
    }
  })
})

/** What a command says, in its answer or in its error. */
function answerOf({ stdout }: Outcome): Record<string, unknown> {
  const answer = JSON.parse(stdout)
  return answer.error ?? answer
}
