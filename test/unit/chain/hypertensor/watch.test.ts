import assert from 'node:assert/strict'
import { mock } from 'node:test'
import type { HypertensorRegistry } from '../../../../src/chain/drivers/hypertensor.ts'
import { SubnetStorage } from '../../../../src/chain/hypertensor/subnet-storage.ts'
import { SubnetWatch } from '../../../../src/chain/hypertensor/subnet-watch.ts'
import type { ChainChange } from '../../../../src/chain/registry.ts'
import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { HypertensorState, NODE_1, RECORDED, SUBNET } from '../../../support/hypertensor-state.ts'
import { newPeer, type TestPeer } from '../../../support/keys.ts'
import type { StandInChain, StandInOptions } from '../../../support/stand-in-chain.ts'

const BOOTNODE = RECORDED.subnetBootnodes[0]?.[0] ?? ''
const SLOW = { blockMs: 60_000, backoff: { firstMs: 10, maxMs: 50 } }

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
    mock.restoreAll()
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

  /** All that is told until what is looked for is among it. */
  async function until(isIt: (change: ChainChange) => boolean): Promise<ChainChange[]> {
    const told = [await next()]
    while (!isIt(told.at(-1) as ChainChange)) {
      told.push(await next())
    }
    return told
  }

  /** Who changed, by what is told until somebody did. */
  async function changed(): Promise<string[] | undefined> {
    return peersOf((await until(({ peers }) => peers?.length !== 0)).at(-1) as ChainChange)
  }

  async function atBlock(block: number): Promise<string[] | undefined> {
    const told = await until((change) => change.block === block)
    return told.every(({ peers }) => peers != null) ? told.flatMap((change) => peersOf(change) ?? []) : undefined
  }

  function peersOf({ peers }: ChainChange): string[] | undefined {
    return peers?.map(String).sort()
  }

  function ids(...peers: Array<TestPeer | string>): string[] {
    return peers.map((each) => (typeof each === 'string' ? each : each.peerId.toString())).sort()
  }

  /** One change after the other, and who is concerned. */
  async function happenings({ state }: StandInChain): Promise<Array<[() => void, string[]]>> {
    const other = await newPeer()
    const id = peer.peerId.toString()
    const withClass = (type: string): void => {
      const node = state.get('SubnetNodesData', SUBNET, 1) as object
      state.set('SubnetNodesData', [SUBNET, 1], { ...node, classification: { node_class: { type }, start_epoch: 1 } })
    }
    const becomesActive = (): void => {
      const node = state.get('RegisteredSubnetNodesData', SUBNET, state.nodeOf(id))
      state.storage.delete(state.key('RegisteredSubnetNodesData', SUBNET, state.nodeOf(id)))
      state.set('SubnetNodesData', [SUBNET, state.nodeOf(id)], node)
      state.count('TotalActiveSubnetNodes', 1, SUBNET)
    }
    return [
      [() => void state.setNode(id, peer.at(1), { map: 'RegisteredSubnetNodesData' }), ids(peer)],
      [becomesActive, ids(peer)],
      [() => void state.setNode(id, peer.at(2)), ids(peer)],
      [() => withClass('Idle'), ids(NODE_1.toString())],
      [() => state.removeNode(id), ids(peer)],
      [() => state.setOverwatch(id, 1), ids(peer)],
      [() => state.setOverwatch(other.peerId.toString(), 1), ids(peer, other)],
      [() => state.setOverwatch(id, 2), ids(peer)],
      [() => state.removeOverwatch(other.peerId.toString()), ids(other)],
      [() => state.setBootnodes([[id, peer.at(3).bytes]]), ids(peer, BOOTNODE)],
    ]
  }

  const ENDPOINTS: Array<[string, StandInOptions, number]> = [
    ['that tells what changes', {}, 60_000],
    ['of the earlier runtime', { state: new HypertensorState('earlier') }, 60_000],
    ['that tells of blocks alone', { without: ['state_subscribeStorage'] }, 60_000],
    ['that tells nothing', { strict: true }, 20],
    ['that tells what changes, and not of blocks', { without: ['chain_subscribeNewHeads'] }, 20],
  ]
  for (const [name, options, blockMs] of ENDPOINTS) {
    it(`an endpoint ${name}: who came, changed and went is known`, async () => {
      const chain = await setup.chain(options)
      await watch(setup.registry(chain, { options: { blockMs } }))
      for (const [change, expected] of await happenings(chain)) {
        change()
        const told = new Set<string>()
        while (!expected.every((each) => told.has(each))) {
          chain.newHead()
          for (const each of (await next()).peers ?? []) {
            told.add(each.toString())
          }
        }
        assert.deepEqual([...told].sort(), expected, String(change))
      }
    })
  }

  it('tells of each new block', async () => {
    const chain = await setup.chain()
    assert.deepEqual([(await watch(setup.registry(chain, { options: SLOW }))).block], [5])
    for (const block of [6, 7, 8]) {
      chain.newHead()
      assert.deepEqual(await atBlock(block), [])
    }
    assert.equal(chain.count('chain_subscribeNewHeads'), 1)
  })

  describe('with many nodes', () => {
    let chain: StandInChain
    let decodes: () => string[]

    beforeEach(async () => {
      const state = new HypertensorState()
      const node = state.get('SubnetNodesData', SUBNET, 1)
      for (let id = 1_000; id < 3_000; id++) {
        state.set('SubnetNodesData', [SUBNET, id], { ...(node as object), id })
      }
      chain = await setup.chain({ state })
      const { mock: spy } = mock.method(SubnetStorage.prototype, 'peersOfRow')
      decodes = () => [...new Set(spy.calls.splice(0).map(({ arguments: [, row] }) => row?.map ?? ''))]
    })

    it('asks nothing and reads no row while nothing changes, and one row where one changed', async () => {
      await watch(setup.registry(chain, { options: SLOW }))
      await moved()
      chain.resetCounts()
      const before = chain.storageFeed.changesTold
      for (let block = 0; block < 20; block++) {
        chain.newHead()
        assert.deepEqual(await atBlock(chain.state.block), [])
      }
      assert.deepEqual([[...chain.calls], decodes(), chain.storageFeed.changesTold - before], [[], [], 0])
      chain.state.setNode(NODE_1.toString(), peer.at(1))
      chain.newHead()
      assert.deepEqual(await changed(), ids(NODE_1.toString()))
      assert.deepEqual([[...chain.calls.keys()], decodes()], [['state_getRuntimeVersion'], ['SubnetNodesData']])
      assert.equal(chain.storageFeed.changesTold - before, 1)
    })

    /** Once heads come, nothing is asked for the time of the newest. */
    async function moved(): Promise<void> {
      const block = chain.state.block + 2
      while (chain.state.block < block) {
        chain.newHead()
        await atBlock(chain.state.block)
      }
    }

    it('asks for less at once where the endpoint refuses many keys', async () => {
      chain.storageFeed.maxKeys = 100
      await watch(setup.registry(chain, { options: SLOW }))
      assert.ok(chain.storageFeed.open > 20)
      chain.state.setNode(NODE_1.toString(), peer.at(1))
      chain.newHead()
      assert.deepEqual(await changed(), ids(NODE_1.toString()))
    })

    it('asks for less at once where a message would be too large', async () => {
      const { cacheFolder } = await setup.kept()
      // the metadata are kept: they are larger than what is asked for here
      await setup.registry(chain, { cacheFolder }).lookup(NODE_1)
      await watch(setup.registry(chain, { cacheFolder, options: { ...SLOW, maxMessageBytes: 120_000 } }))
      assert.ok(chain.connections > 2)
      assert.ok(chain.storageFeed.open > 8)
      chain.state.setNode(NODE_1.toString(), peer.at(1))
      chain.newHead()
      assert.deepEqual(await changed(), ids(NODE_1.toString()))
    })

    it('reads all only every tenth block where the endpoint does not tell what changes', async () => {
      chain.storageFeed.maxKeys = 0
      await watch(setup.registry(chain, { options: SLOW }))
      chain.resetCounts()
      for (let block = 0; block < 10; block++) {
        chain.newHead()
        await atBlock(chain.state.block)
      }
      assert.ok(chain.count('state_getKeysPaged') <= 2 * 10, String(chain.count('state_getKeysPaged')))
      assert.ok(chain.count('state_queryStorageAt') <= 2 * 10 + 10, String(chain.count('state_queryStorageAt')))
    })
  })

  it('reads a subnet that is too large less and less often', async () => {
    const chain = await setup.chain()
    const nodes = chain.state.key('SubnetNodesData', SUBNET)
    const { promise: fifth, resolve } = Promise.withResolvers<void>()
    const attempts: number[] = []
    chain.answer('state_getKeysPaged', ([prefix, count, after]) => {
      if (prefix === nodes && after == null && attempts.push(performance.now()) === 5) {
        resolve()
      }
      const first = after == null ? 0 : Number.parseInt(String(after).slice(-8), 16) + 1
      return Array.from({ length: Number(count) }, (_, at) => `${prefix}${(first + at).toString(16).padStart(8, '0')}`)
    })
    changes = new SubnetWatch({ ...setup.reading(chain), retry: { firstMs: 20, maxMs: 60_000 } }).changes(stop.signal)
    const told = changes.next()
    await fifth
    const [first = 0, last = 0] = [attempts.at(0), attempts.at(-1)]
    // a timer may be early by less than a millisecond
    assert.ok(last - first >= 20 + 40 + 80 + 160 - 4, String(attempts))
    stop.abort()
    assert.equal((await told).done, true)
  })

  it('goes on when the chain was away, and tells what changed meanwhile', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, { options: SLOW })
    await watch(registry)
    const told = changed()
    await chain.stop()
    chain.state.setNode(peer.peerId.toString(), peer.at(1))
    chain.state.block++
    await chain.listen()
    assert.deepEqual(await told, ids(peer))
    chain.newHead()
    assert.deepEqual(await atBlock(chain.state.block), [])
    assert.equal(chain.count('chain_subscribeNewHeads'), 2)
  })

  it('finds out by itself that an endpoint went silent', async () => {
    const [first, second] = [await setup.chain(), await setup.chain()]
    const options = { ...SLOW, idleSilenceMs: 50, silenceMs: 50 }
    const registry = setup.registry([first.url, second.url], { options })
    await watch(registry)
    first.fault = 'silent'
    second.state.setNode(peer.peerId.toString(), peer.at(1))
    second.state.block = 9
    assert.deepEqual([await changed(), registry.state().endpoint, registry.state().block], [ids(peer), second.url, 9])
  })

  it('finds out by itself that an endpoint tells of no heads any more, and compares all', async () => {
    const chain = await setup.chain()
    await watch(setup.registry(chain, { options: { blockMs: 20 } }))
    chain.state.block++
    chain.state.setNode(NODE_1.toString(), peer.at(1))
    chain.storageFeed.skip()
    assert.deepEqual(await changed(), ids(NODE_1.toString()))
  })

  it('compares all when the chain took a block back: what that changes is not told', async () => {
    const chain = await setup.chain()
    await watch(setup.registry(chain, { options: SLOW }))
    chain.newHead()
    await atBlock(chain.state.block)
    chain.state.setNode(NODE_1.toString(), peer.at(1))
    chain.storageFeed.skip()
    chain.heads.reorganise()
    chain.newHead()
    assert.deepEqual(await changed(), ids(NODE_1.toString()))
  })

  it('tells all that changed while nobody took it', async () => {
    const chain = await setup.chain()
    await watch(setup.registry(chain, { options: SLOW }))
    const peers = await Promise.all(Array.from({ length: 20 }, newPeer))
    for (const each of peers) {
      chain.state.setNode(each.peerId.toString(), each.at(1))
      chain.newHead()
      chain.state.setNode(each.peerId.toString(), each.at(2))
      chain.newHead()
    }
    const told = new Set<string>()
    while (told.size < peers.length) {
      for (const each of (await next()).peers ?? []) {
        told.add(each.toString())
      }
    }
    assert.deepEqual([...told].sort(), ids(...peers))
  })

  it('says that it does not know who changed when the layout did', async () => {
    const chain: StandInChain = await setup.chain()
    await watch(setup.registry(chain, { options: { blockMs: 0 } }))
    chain.state.upgrade()
    chain.newHead()
    await until(({ peers }) => peers == null)
    chain.state.removeNode(NODE_1.toString())
    chain.newHead()
    assert.deepEqual(await changed(), ids(NODE_1.toString()))
  })

  it('waits for a subnet that is not there, says so, and goes on when it appears', async () => {
    const chain = await setup.chain()
    const key = chain.state.key('SubnetsData', SUBNET)
    const subnet = chain.state.storage.get(key) as string
    chain.state.storage.delete(key)
    const registry = setup.registry(chain, { options: SLOW })
    await watch(registry)
    const problem = `chain ${chain.url}: subnet ${SUBNET} does not exist on this chain (yet)`
    assert.deepEqual(registry.state().problems, [problem])
    chain.newHead()
    await atBlock(chain.state.block)
    chain.state.storage.set(key, subnet)
    chain.newHead()
    await until(({ peers }) => peers == null)
    assert.deepEqual(registry.state().problems, [])
    const warned = setup.logged.filter((line) => line.startsWith('warn: '))
    assert.deepEqual(warned, [`warn: ${problem}\n`, `warn: chain ${chain.url}: subnet ${SUBNET} exists now\n`])
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
