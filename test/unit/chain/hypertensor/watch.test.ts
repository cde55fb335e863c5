import assert from 'node:assert/strict'
import type { HypertensorRegistry } from '../../../../src/chain/drivers/hypertensor.ts'
import type { ChainChange } from '../../../../src/chain/registry.ts'
import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { NODE_1, SUBNET } from '../../../support/hypertensor-state.ts'
import { newPeer, type TestPeer } from '../../../support/keys.ts'
import type { StandInChain } from '../../../support/stand-in-chain.ts'

describe('a Hypertensor chain, watched', () => {
  const setup = new HypertensorSetup()
  let stop: AbortController
  let peer: TestPeer
  let changes: AsyncGenerator<ChainChange>

  beforeEach(async () => {
    stop = new AbortController()
    peer = await newPeer()
  })

  afterEach(async () => {
    stop.abort()
    assert.equal((await changes.next()).done, true)
    await setup.clean()
  })

  async function watch(registry: HypertensorRegistry): Promise<ChainChange> {
    changes = registry.watch({ signal: stop.signal })
    return next()
  }

  async function next(): Promise<ChainChange> {
    const { value, done } = await changes.next()
    assert.equal(done, false)
    return value as ChainChange
  }

  function peersOf({ peers }: ChainChange): string[] | undefined {
    return peers?.map(String).sort()
  }

  it('tells of each new block, and who came, changed, and went with it', async () => {
    const chain = await setup.chain()
    const first = await watch(setup.registry(chain, { options: { blockMs: 60_000 } }))
    assert.deepEqual([first.block, peersOf(first)], [5, []])
    const { peerId, at } = peer
    const id = peerId.toString()
    for (const [change, expected] of [
      [() => undefined, []],
      [() => void chain.state.setNode(id, at(1)), [id]],
      [() => void chain.state.setNode(id, at(2)), [id]],
      [() => chain.state.removeNode(id), [id]],
      [() => chain.state.setBootnodes([[id, at(3).bytes]]), [id, '12D3KooWLGmub3LXuKQixBD5XwNW4PtSfnrysYzqs1oj19HxMUCF'].sort()],
    ] as const) {
      change()
      chain.newHead()
      const told = await next()
      assert.deepEqual([told.block, peersOf(told)], [chain.state.block, expected])
    }
    assert.equal(chain.count('chain_subscribeNewHeads'), 1)
  })

  it('looks by itself where the node tells of no blocks', async () => {
    const chain = await setup.chain({ strict: true })
    await watch(setup.registry(chain, { options: { blockMs: 20 } }))
    chain.state.setNode(peer.peerId.toString(), peer.at(1))
    assert.deepEqual(peersOf(await next()), [peer.peerId.toString()])
    chain.tellBlockInStorage()
    const node = chain.state.get('SubnetNodesData', SUBNET, 1) as object
    chain.state.set('SubnetNodesData', [SUBNET, 1], { ...node, classification: { node_class: { type: 'Idle' }, start_epoch: 1 } })
    assert.deepEqual(peersOf(await next()), [NODE_1.toString()])
  })

  it('goes on when the chain was away, and tells what changed meanwhile', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, { options: { blockMs: 60_000, backoff: { firstMs: 10, maxMs: 50 } } })
    await watch(registry)
    const told = next()
    await chain.stop()
    chain.state.setNode(peer.peerId.toString(), peer.at(1))
    chain.state.block++
    await chain.listen()
    assert.deepEqual(peersOf(await told), [peer.peerId.toString()])
    const later = next()
    chain.newHead()
    assert.deepEqual([(await later).block, chain.count('chain_subscribeNewHeads')], [chain.state.block, 2])
  })

  it('finds out by itself that an endpoint went silent', async () => {
    const [first, second] = [await setup.chain(), await setup.chain()]
    const options = { blockMs: 60_000, idleSilenceMs: 50, silenceMs: 50, backoff: { firstMs: 10, maxMs: 50 } }
    const registry = setup.registry([first.url, second.url], { options })
    await watch(registry)
    first.fault = 'silent'
    second.state.setNode(peer.peerId.toString(), peer.at(1))
    second.state.block = 9
    const told = await next()
    assert.deepEqual([told.block, peersOf(told), registry.state().endpoint], [9, [peer.peerId.toString()], second.url])
  })

  it('says that it does not know who changed when the layout did', async () => {
    const chain: StandInChain = await setup.chain()
    await watch(setup.registry(chain, { options: { blockMs: 0 } }))
    chain.state.upgrade()
    chain.newHead()
    let told = await next()
    while (told.peers != null) {
      told = await next()
    }
    chain.state.removeNode(NODE_1.toString())
    chain.newHead()
    told = await next()
    while (told.peers?.length === 0) {
      told = await next()
    }
    assert.deepEqual(peersOf(told), [NODE_1.toString()])
  })

  it('ends when the registry is closed', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain)
    await watch(registry)
    const over = changes.next()
    await registry.close()
    assert.equal((await over).done, true)
  })
})
