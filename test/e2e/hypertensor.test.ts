import assert from 'node:assert/strict'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { Cli, jsonError } from '../support/cli.ts'
import { HypertensorState, NODE_1, RECORDED, recordedPeers, SUBNET } from '../support/hypertensor-state.ts'
import { newPeer } from '../support/keys.ts'
import { PEER_ID, seedFile } from '../support/seeds.ts'
import { StandInChain } from '../support/stand-in-chain.ts'

describe('subnet on a Hypertensor chain', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let chain: StandInChain
  let flags: string[]

  beforeEach(async () => {
    chain = await StandInChain.start({ strict: true })
    flags = ['--chain', `hypertensor:${chain.url}`, '--subnet-id', String(SUBNET)]
  })

  afterEach(async () => {
    await cli.clean()
    await chain.stop()
  })

  it('looks a peer up, lists all, and is gone at once', async () => {
    const home = await cli.home()
    const [address] = Object.values(RECORDED.nodes).map(({ multiaddr }) => multiaddr)
    const text = await cli.run(home, ['chain', 'lookup', NODE_1.toString(), ...flags])
    assert.deepEqual([text.code, text.stdout, text.stderr], [0, `${address}\n`, ''])
    const lookup = ['chain', 'lookup', NODE_1.toString(), '--chain', flags[1] as string, '--subnet-id', '1']
    const { readAtMs, ...record } = await cli.json<{ readAtMs: number }>(home, lookup)
    const place = { role: 'main', nodeId: 1, class: 'validator' }
    assert.deepEqual(record, { peerId: NODE_1.toString(), multiaddrs: [address], verified: false, block: 0, stale: false, ...place })
    assert.ok(Math.abs(Date.now() - readAtMs) < 60_000)
    const listed = await cli.json<Array<{ peerId: string }>>(home, ['chain', 'list', ...flags])
    assert.deepEqual(
      listed.map(({ peerId }) => peerId).sort(),
      [...recordedPeers()].flatMap(([peer, at]) => (at == null ? [] : peer)).sort(),
    )
    assert.equal(chain.count('Metadata_metadata_at_version'), 1)
    const none = await cli.run(home, ['chain', 'lookup', (await newPeer()).peerId.toString(), ...flags, '--json'])
    assert.deepEqual([none.code, jsonError(none).code], [3, 'PEER_NOT_FOUND'])
  })

  it('reads the earlier runtime, and says what it is that a runtime lacks', async () => {
    const home = await cli.home()
    const earlier = await StandInChain.start({ state: new HypertensorState('earlier') })
    const state = new HypertensorState()
    state.changeRuntime(({ pallets }) => {
      const maps = pallets.find(({ name }) => name === 'Network')?.storage?.items ?? []
      maps.splice(0, maps.length, ...maps.filter(({ name }) => name !== 'SubnetNodesData'))
    })
    const other = await StandInChain.start({ state })
    try {
      const on = ({ url }: StandInChain): string[] => ['--chain', `hypertensor:${url}`, '--subnet-id', String(SUBNET)]
      const listed = await cli.json<Array<{ peerId: string; role: string }>>(home, ['chain', 'list', '--all', ...on(earlier)])
      assert.deepEqual(listed.map(({ peerId }) => peerId).sort(), [...recordedPeers('earlier').keys()].sort())
      assert.equal((await cli.json(home, ['chain', 'show', NODE_1.toString(), ...on(earlier)])).role, 'main')
      const outcome = await cli.run(home, ['chain', 'list', ...on(other), '--json'])
      assert.deepEqual([outcome.code, jsonError(outcome).code], [10, 'CHAIN_UNAVAILABLE'])
      assert.match(jsonError(outcome).message, /hypertensor-node 1 has no Network\.SubnetNodesData, which this program needs$/)
    } finally {
      await Promise.all([earlier.stop(), other.stop()])
    }
  })

  it('knows a subnet that is not there: exit 2, by its id and by a friendly one', async () => {
    const home = await cli.home()
    for (const id of ['128009', '7']) {
      for (const args of [['list'], ['lookup', NODE_1.toString()], ['show', NODE_1.toString()]]) {
        const outcome = await cli.run(home, ['chain', ...args, '--chain', flags[1] as string, '--subnet-id', id, '--json'])
        assert.deepEqual([outcome.code, jsonError(outcome).code], [2, 'USAGE'])
        assert.match(jsonError(outcome).message, new RegExp(`there is no subnet ${id}$`))
      }
    }
  })

  it('gives what the chain said last while it is away, and says so', async () => {
    const home = await cli.home()
    const lookup = ['chain', 'lookup', NODE_1.toString(), ...flags]
    const record = await cli.json(home, lookup)
    await chain.stop()
    assert.deepEqual(await cli.json(home, lookup), { ...record, stale: true })
    const text = await cli.run(home, lookup)
    assert.equal(text.code, 0)
    assert.match(text.stderr, /^the chain is unreachable: this is its answer from \d+(\.\d+)? (ms|s) ago\n$/)
  })

  it('names the endpoint that cannot be reached, exit 10, and the next one is asked', async () => {
    const second = await StandInChain.start({ strict: true })
    try {
      await chain.stop()
      const home = await cli.home()
      const outcome = await cli.run(home, ['chain', 'list', ...flags, '--json'])
      const { code, message, hint } = jsonError(outcome)
      assert.deepEqual(
        [outcome.code, code, message],
        [10, 'CHAIN_UNAVAILABLE', `chain ${chain.url}: connect ECONNREFUSED ${chain.url.slice(5)}`],
      )
      assert.match(hint ?? '', /--chain/)
      const both = `hypertensor:${chain.url},${second.url}`
      assert.equal((await cli.json<unknown[]>(home, ['chain', 'list', '--chain', both, '--subnet-id', String(SUBNET)])).length, 4)
    } finally {
      await second.stop()
    }
  })

  it('refuses to write, exit 2, and says what to do instead', async () => {
    const home = await cli.home()
    for (const args of [['remove'], ['register'], ['unregister']]) {
      const outcome = await cli.run(home, ['chain', ...args, ...flags, '--json'])
      const { code, message, hint } = jsonError(outcome)
      assert.deepEqual([outcome.code, code], [2, 'USAGE'])
      assert.match(message, /^chain ws:/)
      assert.match(hint ?? '', /Network\./)
    }
    assert.equal(chain.connections, 0)
  })

  it('sends a task to a peer that only the chain knows; status shows the chain', async () => {
    const [home, workersHome] = [await cli.home(), await cli.home()]
    await seedFile(join(workersHome, 'identity.key'), PEER_ID)
    const worker = await cli.start(workersHome, ['--handler', 'upper', ...flags])
    chain.state.setNode(PEER_ID, multiaddr(worker.address))
    const answer = await cli.json(home, ['send-task', PEER_ID, '--text', 'abc', ...flags])
    assert.deepEqual([answer.source, answer.accepted], ['chain', true])
    const status = await cli.json<{ chain: Record<string, unknown> }>(workersHome, ['status'])
    const { lagMs, ...rest } = status.chain
    assert.deepEqual(rest, { url: flags[1], reachable: true, block: null, error: null, endpoint: chain.url })
    assert.ok(typeof lagMs === 'number' && lagMs < 60_000)
    const text = await cli.run(workersHome, ['status'])
    assert.match(text.stdout, /^chain +hypertensor:ws:\S+ reachable, heard [\d.]+ m?s ago$/m)
    await chain.stop()
    const away = await cli.run(workersHome, ['status', '--json'])
    const { chain: state, healthy } = JSON.parse(away.stdout)
    assert.deepEqual([away.code !== 0, healthy, state.reachable], [true, false, false])
    assert.match(state.error, new RegExp(`^chain ${chain.url}: `))
  })

  for (const url of ['hypertensor:', 'hypertensor:http://127.0.0.1:1', 'hypertensor:127.0.0.1:9944', 'hypertensor:ws://a,']) {
    it(`takes ${url} for no chain`, async () => {
      const outcome = await cli.run(await cli.home(), ['chain', 'list', '--chain', url, '--json'])
      const { code, message, hint } = jsonError(outcome)
      assert.deepEqual([outcome.code, code], [2, 'USAGE'])
      assert.match(message, /^an endpoint of the chain must be a URL that begins with ws:/)
      assert.match(hint ?? '', /hypertensor:ws:\/\/host:9944/)
    })
  }
})
