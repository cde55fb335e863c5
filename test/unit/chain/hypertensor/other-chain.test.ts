import assert from 'node:assert/strict'
import type { HypertensorRegistry } from '../../../../src/chain/drivers/hypertensor.ts'
import { TIME_KEY } from '../../../../src/chain/hypertensor/runtime.ts'
import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { HypertensorState, NODE_1, RECORDED, SUBNET } from '../../../support/hypertensor-state.ts'
import { newPeer } from '../../../support/keys.ts'
import type { StandInChain } from '../../../support/stand-in-chain.ts'

const OTHER = `0x${'77'.repeat(32)}`
const QUICK = { blockMs: 60_000, backoff: { firstMs: 10, maxMs: 50 } }

describe('a Hypertensor chain that is not what it was', () => {
  const setup = new HypertensorSetup()
  const stop = { watch: new AbortController() }
  let watching: Promise<void> | undefined

  beforeEach(() => {
    stop.watch = new AbortController()
    watching = undefined
  })

  afterEach(async () => {
    stop.watch.abort()
    await watching
    await setup.clean()
  })

  /** Follows the blocks, as a running node does, until there is a block that is looked for. */
  async function follow(registry: HypertensorRegistry): Promise<(block: number) => Promise<void>> {
    const waiting = new Map<number, () => void>()
    const seen = new Set<number>()
    watching = (async () => {
      for await (const { block, peers } of registry.watch({ signal: stop.watch.signal, only: 'blocks' })) {
        assert.deepEqual(peers, [])
        seen.add(block)
        waiting.get(block)?.()
      }
    })()
    return async (block) => {
      if (!seen.has(block)) {
        await new Promise<void>((resolve) => waiting.set(block, resolve))
      }
    }
  }

  function warned(): string[] {
    return setup.logged.filter((line) => line.startsWith('warn: ')).map((line) => line.slice(6).trim())
  }

  function setTime(chain: StandInChain, unixMs: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(unixMs))
    chain.state.storage.set(TIME_KEY, `0x${bytes.toString('hex')}`)
  }

  /** The chain of an endpoint starts anew, as another one, in which nobody has a node. */
  async function restart(chain: StandInChain, genesisHash: string): Promise<void> {
    await chain.stop()
    for (const key of [...chain.state.storage.keys()].filter((each) => each.startsWith(chain.state.key('SubnetNodesData', SUBNET)))) {
      chain.state.storage.delete(key)
    }
    for (const peer of Object.values(RECORDED.nodes)) {
      chain.state.storage.delete(chain.state.key('PeerIdSubnetNodeId', SUBNET, Buffer.from(peer.peerId)))
    }
    chain.state.genesisHash = genesisHash
    chain.state.block = 2
    await chain.listen()
  }

  it('that stands still when a node starts is found to, until the next block, for a header a block', async () => {
    const chain = await setup.chain()
    setTime(chain, Date.now() - 600_000)
    const registry = setup.registry(chain, { options: QUICK })
    await registry.lookup(NODE_1)
    const block = await follow(registry)
    await block(5)
    while (registry.state().problems.length === 0) {
      await new Promise(setImmediate)
    }
    const problem = `chain ${chain.url}: no new block after 5 for 10 min; a block usually takes 6 s`
    assert.deepEqual([registry.state().problems, registry.state().lastError], [[problem], undefined])
    chain.newHead()
    await block(6)
    assert.deepEqual(registry.state().problems, [])
    assert.deepEqual(warned(), [problem, `chain ${chain.url}: new blocks arrive again; the newest is 6`])
    chain.newHead()
    await block(7)
    chain.resetCounts()
    chain.newHead()
    await block(8)
    assert.deepEqual([...chain.calls], [])
  })

  it('is not judged by what only asks', async () => {
    const chain = await setup.chain()
    setTime(chain, Date.now() - 600_000)
    const registry = setup.registry(chain)
    await registry.list()
    assert.deepEqual([registry.state().problems, chain.count('chain_subscribeNewHeads')], [[], 0])
  })

  it('is said to have been set back, until it is where it was', async () => {
    const state = new HypertensorState()
    state.block = 500
    const chain = await setup.chain({ state })
    const registry = setup.registry(chain, { options: QUICK })
    const block = await follow(registry)
    await block(500)
    await chain.stop()
    state.block = 12
    await chain.listen()
    await block(12)
    const problem = `chain ${chain.url}: its newest block was 500, and is now 12: the chain was rolled back, or this endpoint is behind`
    assert.deepEqual([registry.state().problems, registry.state().block], [[problem], 12])
    state.block = 500
    chain.newHead()
    await block(501)
    assert.deepEqual([registry.state().problems, warned()], [[], [problem, `chain ${chain.url}: its newest block is 501 again`]])
  })

  it('another one behind the same endpoint is said, and nothing of the one before is used', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, { subnetId: 1, options: { ...QUICK, patienceMs: 200 } })
    assert.equal((await registry.lookup(NODE_1)).known, true)
    assert.equal((await registry.isRegistered(NODE_1, 'idle')).registered, true)
    await restart(chain, OTHER)
    chain.state.addSubnet(128_007, 1)
    chain.fault = 'silent'
    chain.faulty = ['state_queryStorageAt', 'network_proofOfStake', 'state_call']
    await assert.rejects(registry.isRegistered(NODE_1, 'idle', { patienceMs: 500 }), { code: 'CHAIN_UNAVAILABLE' })
    chain.fault = undefined
    const { known, stale } = await registry.lookup(NODE_1)
    assert.deepEqual({ known, stale }, { known: false, stale: false })
    const problem = `chain ${chain.url}: this is another chain than before: its genesis hash is 0x7777777777777777…, and was ${RECORDED.genesisHash.slice(0, 18)}…; answers of the other chain are not used`
    assert.deepEqual([registry.state().problems, warned(), registry.state().block], [[problem], [problem], 2])
  })

  it('another one than in the run before is said, once, and no answer of that run is given', async () => {
    const chain = await setup.chain()
    const kept = await setup.kept()
    const first = setup.registry(chain, kept)
    await first.lookup(NODE_1)
    await first.close()
    await restart(chain, OTHER)
    const second = setup.registry(chain, { ...kept, options: { patienceMs: 200 } })
    assert.equal((await second.isRegistered(NODE_1, 'idle')).stale, false)
    assert.equal(second.state().problems.length, 1)
    assert.match(warned().join('\n'), /^chain [^\n]* this is another chain than before: [^\n]*$/)
    chain.fault = 'error'
    await assert.rejects(second.lookup(NODE_1), { code: 'CHAIN_UNAVAILABLE' })
    chain.fault = undefined
    await second.close()
    setup.logged.length = 0
    const third = setup.registry(chain, kept)
    await third.lookup((await newPeer()).peerId)
    assert.deepEqual([third.state().problems, warned()], [[], []])
  })

  it('among several endpoints one of another chain is named, and not used', async () => {
    const [first, second] = [await setup.chain(), await setup.chain()]
    second.state.genesisHash = OTHER
    const registry = setup.registry([first.url, second.url], { options: QUICK })
    await registry.lookup(NODE_1)
    first.fault = 'error'
    await assert.rejects(registry.isRegistered(NODE_1, 'idle'))
    const problem = `chain ${second.url}: this endpoint serves another chain than ${first.url}, and is not used`
    assert.deepEqual([registry.state().problems, warned()], [[problem], [problem]])
  })
})
