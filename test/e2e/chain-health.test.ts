import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Cli } from '../support/cli.ts'
import { SUBNET } from '../support/hypertensor-state.ts'
import { PEER_ID, seedFile } from '../support/seeds.ts'
import { StandInChain } from '../support/stand-in-chain.ts'

interface Health {
  healthy: boolean
  problems: Array<{ code: string; severity: string; message: string }>
  chain: { reachable: boolean; error: string | null; block: number }
}

describe('status, of a chain that answers and is not well', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let chain: StandInChain
  let home: string

  beforeEach(async () => {
    chain = await StandInChain.start()
    home = await cli.home()
    await seedFile(join(home, 'identity.key'), PEER_ID)
  })

  afterEach(async () => {
    await cli.clean()
    await chain.stop()
  })

  function flags(admission: string, subnet: number): string[] {
    return ['--chain', `hypertensor:${chain.url}`, '--subnet-id', String(subnet), '--admission', admission]
  }

  async function health(): Promise<Health> {
    return JSON.parse((await cli.run(home, ['status', '--json'])).stdout)
  }

  for (const [admission, subnet, appears] of [
    ['open', 128_009, () => chain.state.addSubnet(128_009, 9)],
    ['registered', 77, () => chain.state.set('FriendlyUidSubnetId', [77], SUBNET)],
  ] as const) {
    const severity = 'error'

    it(`it stands still (--admission ${admission}): a problem with its age, until the next block`, async () => {
      chain.tellTime(Date.now() - 3 * 86_400_000)
      const { running } = await cli.start(home, flags(admission, SUBNET))
      await running.says(/warn: chain ws:\S+ no new block after 5 /)
      const { healthy, problems, chain: state } = await health()
      const message = `chain ${chain.url}: no new block after 5 for 3 d; a block usually takes 6 s`
      assert.deepEqual([healthy, problems], [false, [{ code: 'CHAIN_UNAVAILABLE', severity, message }]])
      assert.deepEqual([state.reachable, state.error], [true, null])
      const text = await cli.run(home, ['status'])
      assert.equal(text.code, 10)
      assert.match(text.stdout, /^problem +chain ws:\S+ no new block after 5 for 3 d; a block usually takes 6 s$/m)
      chain.newHead()
      await running.says(/warn: chain ws:\S+ new blocks arrive again; the newest is 6/)
      assert.deepEqual(await health().then((now) => [now.healthy, now.problems, now.chain.block]), [true, [], 6])
    })

    it(`it does not have the subnet (--admission ${admission}): the node waits for it`, async () => {
      const { running } = await cli.start(home, flags(admission, subnet))
      await running.says(new RegExp(`warn: chain ws:\\S+ subnet ${subnet} does not exist on this chain \\(yet\\)`))
      const { healthy, problems, chain: state } = await health()
      const message = `chain ${chain.url}: subnet ${subnet} does not exist on this chain (yet)`
      assert.deepEqual([healthy, problems[0]], [false, { code: 'CHAIN_UNAVAILABLE', severity, message }])
      assert.deepEqual([state.reachable, state.error], [true, null])
      appears()
      chain.newHead()
      await running.says(new RegExp(`warn: chain ws:\\S+ subnet ${subnet} exists now`))
      assert.deepEqual(await health().then((now) => [now.healthy, now.problems]), [true, []])
    })
  }

  it('its new blocks are of another time than this machine has: a warning with the offset and the chain, while the clocks differ', async () => {
    chain.blockTimesAheadMs = 120_500
    chain.newHead()
    const { running } = await cli.start(home, [...flags('open', SUBNET), '--heartbeat-interval', '500ms'])
    const blocks = setInterval(() => chain.newHead(), 50)
    try {
      const message = `the clock of this machine is 2 min behind the blocks of chain ${chain.url}: nodes whose clocks differ by more than 60 s ignore each other's heartbeats`
      await running.says(new RegExp(`warn: ${message}`))
      assert.deepEqual(await health().then((now) => [now.healthy, now.problems]), [
        true,
        [{ code: 'CLOCK_OFF', severity: 'warning', message }],
      ])
      const text = await cli.run(home, ['status'])
      assert.equal(text.code, 0)
      assert.match(text.stdout, /^warning +the clock of this machine is 2 min behind the blocks of chain ws:\S+:/m)
      chain.blockTimesAheadMs = 0
      while ((await health()).problems.length > 0) {
        // the next block is read
      }
    } finally {
      clearInterval(blocks)
    }
  })
})
