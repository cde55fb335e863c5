import assert from 'node:assert/strict'
import type { HypertensorRegistry } from '../../../../src/chain/drivers/hypertensor.ts'
import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { NODE_1, RECORDED, SUBNET } from '../../../support/hypertensor-state.ts'
import { newPeer } from '../../../support/keys.ts'
import type { Fault, StandInChain } from '../../../support/stand-in-chain.ts'

const PROOF_OF_STAKE = 'NetworkRuntimeApi_proof_of_stake'
const ADDRESS = RECORDED.nodes['1']?.multiaddr
const FAULTS: Record<Fault, RegExp> = {
  silent: /silent|in time|no answer/,
  garbage: /not JSON-RPC/,
  'wrong ids': /no answer within/,
  'wrong types': /state_queryStorageAt: no list of changes|state_call: not hex|not hex/,
  error: /Client error: {2}\[31mthe state is not there \(-32000\)/,
  'rate limit': /Too many requests \(429\)/,
  drop: /the connection was closed/,
  'half-closed': /silent|closed|closes/,
  'too large': /Max payload size exceeded/,
  'neither result nor error': /neither a result nor an error/,
}

describe('a Hypertensor chain that fails', () => {
  const setup = new HypertensorSetup()

  afterEach(async () => setup.clean())

  /** All that can be asked, each with its answer in short. */
  async function askAll(registry: HypertensorRegistry): Promise<unknown[]> {
    const { peerId: stranger } = await newPeer()
    const [record, { records: list, ...listing }, { records: bootnodes }, yes] = await Promise.all([
      registry.lookup(NODE_1),
      registry.list(),
      registry.bootnodes(),
      registry.isRegistered(NODE_1, 'validator'),
    ])
    assert.equal(record.multiaddrs.toString(), ADDRESS)
    assert.equal(list.length, 5)
    assert.equal(bootnodes.length, 1)
    assert.equal(yes.registered, true)
    await assert.rejects(registry.isRegistered(stranger, 'registered'), { code: 'CHAIN_UNAVAILABLE' })
    return [record, yes, listing, ...list, ...bootnodes].map(({ stale }) => stale)
  }

  for (const [fault, says] of Object.entries(FAULTS) as Array<[Fault, RegExp]>) {
    it(`${fault}: gives its last answers as stale, an error where there are none, and is as before when it is over`, async () => {
      const chain = await setup.chain()
      const registry = setup.registry(chain, { options: { patienceMs: 400, callTimeoutMs: 600 } })
      const no = (await newPeer()).peerId
      await Promise.all([registry.lookup(NODE_1), registry.list(), registry.bootnodes(), registry.isRegistered(NODE_1, 'validator')])
      assert.equal((await registry.isRegistered(no, 'idle')).registered, false)
      chain.fault = fault
      assert.ok((await askAll(registry)).every((stale) => stale === true))
      const { registered, stale } = await registry.isRegistered(no, 'idle')
      assert.deepEqual({ registered, stale }, { registered: false, stale: true })
      await assert.rejects(registry.isRegistered(NODE_1, 'idle'), (error: Error & { code: string }) => {
        assert.equal(error.code, 'CHAIN_UNAVAILABLE')
        assert.ok(error.message.startsWith(`chain ${chain.url}: `), error.message)
        assert.match(error.message, says)
        return true
      })
      assert.match(registry.state().lastError ?? '', /^chain ws:/)
      const { failures } = registry.state()
      assert.ok(failures > 0)
      chain.fault = undefined
      await freshAgain(registry)
      assert.equal(registry.state().lastError, undefined)
      assert.ok(registry.state().failures >= failures)
    })
  }

  /** Asks until the chain itself answers. */
  async function freshAgain(registry: HypertensorRegistry): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const stale = await registry.isRegistered(NODE_1, 'validator').then((answer) => answer.stale)
      if (!stale) {
        return
      }
      assert.ok(attempt < 50, registry.state().lastError)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  it('keeps its last answers over a restart, none of them more than a yes or a no of the chain', async () => {
    const chain = await setup.chain()
    const kept = await setup.kept()
    const first = setup.registry(chain, kept)
    const { peerId: stranger } = await newPeer()
    const list = await first.list()
    const record = await first.lookup(NODE_1)
    const nothing = await first.lookup(stranger)
    assert.equal(nothing.known, false)
    const [yes, no] = [await first.isRegistered(NODE_1, 'validator'), await first.isRegistered(stranger, 'registered')]
    await first.close()
    await chain.stop()
    const second = setup.registry(chain, kept)
    assert.deepEqual(await second.lookup(NODE_1), { ...record, stale: true })
    assert.deepEqual(await second.list(), {
      ...list,
      stale: true,
      records: list.records.map((each) => ({ ...each, stale: true })),
    })
    assert.deepEqual(await second.lookup(stranger), { ...nothing, stale: true }, 'a no is as old as a yes')
    assert.deepEqual(await second.isRegistered(NODE_1, 'validator'), { ...yes, stale: true })
    assert.deepEqual(await second.isRegistered(stranger, 'registered'), { ...no, stale: true })
    await assert.rejects(second.isRegistered(NODE_1, 'idle'), { code: 'CHAIN_UNAVAILABLE', message: /ECONNREFUSED/ })
    await assert.rejects(second.bootnodes(), { code: 'CHAIN_UNAVAILABLE' })
    const { known, stale, readAtMs } = await second.lookup((await newPeer()).peerId)
    assert.deepEqual([known, stale, readAtMs], [false, true, list.readAtMs], 'not in the list that was kept')
    await chain.listen()
    await freshAgain(second)
  })

  it('waits for a chain that is slow but alive, though its last answer is known; a caller without patience does not', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, { options: { patienceMs: 250, silenceMs: 10_000 } })
    const before = await registry.list()
    const record = await registry.lookup(NODE_1)
    chain.slow = ['state_queryStorageAt']
    chain.answerAfterMs = 1_000
    const hasty = await registry.lookup(NODE_1, { patienceMs: 50 })
    assert.deepEqual(hasty, { ...record, stale: true })
    const after = await registry.list()
    assert.deepEqual([after.stale, after.records.length], [false, before.records.length])
    assert.ok(after.readAtMs > before.readAtMs)
  })

  it('takes of what it said last of a peer the newer: that of the peer alone, or that of the list', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain)
    const { peerId, at } = await newPeer()
    chain.state.setNode(peerId.toString(), at(1))
    await registry.lookup(peerId)
    await new Promise((resolve) => setTimeout(resolve, 2))
    chain.state.setNode(peerId.toString(), at(2))
    await registry.list()
    await chain.stop()
    assert.equal((await registry.lookup(peerId))?.multiaddrs.toString(), at(2).toString())
  })

  describe('where a record of a node cannot be read', () => {
    let chain: StandInChain

    beforeEach(async () => {
      chain = await setup.chain()
      const key = chain.state.key('SubnetNodesData', SUBNET, 1)
      chain.state.storage.set(key, chain.state.storage.get(key)?.slice(0, 40) ?? '')
    })

    it('does not take its peer for a stranger because a list lacks it', async () => {
      const registry = setup.registry(chain)
      assert.equal((await registry.list()).records.length, 4)
      await assert.rejects(registry.lookup(NODE_1), {
        code: 'CHAIN_UNAVAILABLE',
        message: /a value of Network.SubnetNodesData does not match/,
      })
      await chain.stop()
      await assert.rejects(registry.lookup(NODE_1), { code: 'CHAIN_UNAVAILABLE' })
      const { records, stale } = await registry.list()
      assert.deepEqual([records.length, stale], [4, true])
    })

    it('says so where peers are looked for in the list alone', async () => {
      chain.state.changeRuntime(({ pallets }) => {
        const items = pallets.find(({ name }) => name === 'Network')?.storage?.items ?? []
        items.splice(
          items.findIndex(({ name }) => name === 'ClientPeerIdSubnetNodeId'),
          1,
        )
      })
      const registry = setup.registry(chain)
      await assert.rejects(registry.lookup(NODE_1), { code: 'CHAIN_UNAVAILABLE', message: /1 of the nodes of the subnet cannot be read/ })
      assert.equal((await registry.list()).records.length, 4)
    })
  })

  it('says of an endpoint where nobody listens what is wrong, at once, and what to do', async () => {
    const chain = await setup.chain()
    await chain.stop()
    const registry = setup.registry(chain)
    await assert.rejects(registry.lookup(NODE_1), {
      name: 'ChainError',
      code: 'CHAIN_UNAVAILABLE',
      message: `chain ${chain.url}: connect ECONNREFUSED ${chain.url.slice(5)}`,
      hint: /--chain/,
    })
    assert.equal(registry.state().lagMs, undefined)
  })

  it('connects less and less often while nobody listens, and again once somebody does', async () => {
    const chain = await setup.chain()
    await chain.stop()
    const registry = setup.registry(chain, { options: { backoff: { firstMs: 3_000, maxMs: 3_000 } } })
    await assert.rejects(registry.bootnodes(), /ECONNREFUSED/)
    await chain.listen()
    await assert.rejects(registry.bootnodes(), /ECONNREFUSED.*\(next attempt in [23] s\)/)
    assert.equal(chain.connections, 0)
    const soon = setup.registry(chain, { options: { backoff: { firstMs: 20, maxMs: 100 } } })
    await chain.stop()
    await assert.rejects(soon.bootnodes(), /ECONNREFUSED/)
    await chain.listen()
    assert.equal((await soon.bootnodes()).records.length, 1)
  })

  it('connects at once, however often that failed, when the network of this machine changed', async () => {
    const chain = await setup.chain()
    await chain.stop()
    const registry = setup.registry(chain, { options: { backoff: { firstMs: 600_000, maxMs: 600_000 } } })
    await assert.rejects(registry.bootnodes(), /ECONNREFUSED/)
    await chain.listen()
    await assert.rejects(registry.bootnodes(), /next attempt in \d+ s/)
    registry.networkChanged()
    assert.equal((await registry.bootnodes()).records.length, 1)
  })

  it('finds out about a connection that fell silent when the network of this machine changed, with nobody asking', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, { options: { backoff: { firstMs: 1, maxMs: 1 } } })
    await registry.lookup(NODE_1)
    chain.fault = 'silent'
    registry.networkChanged()
    while (registry.state().lastError?.includes('the endpoint is silent') !== true) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })

  describe('with another endpoint', () => {
    let chains: StandInChain[]
    let registry: HypertensorRegistry

    beforeEach(async () => {
      chains = await Promise.all([setup.chain(), setup.chain()])
      registry = setup.registry(
        chains.map(({ url }) => url),
        { options: { backoff: { firstMs: 500, maxMs: 500 } } },
      )
    })

    for (const fault of Object.keys(FAULTS) as Fault[]) {
      it(`${fault}: the other one answers`, async () => {
        const [first, second] = chains as [StandInChain, StandInChain]
        await registry.lookup(NODE_1)
        assert.deepEqual([first.connections, second.connections], [1, 0])
        first.fault = fault
        const { registered, stale } = await registry.isRegistered(NODE_1, 'idle')
        assert.deepEqual({ registered, stale }, { registered: true, stale: false })
        assert.deepEqual([(await registry.lookup(NODE_1))?.stale, registry.state().endpoint], [false, second.url])
      })
    }

    it('nobody listens at the first: the other one answers from the start', async () => {
      await chains[0]?.stop()
      assert.equal((await registry.lookup(NODE_1))?.stale, false)
      assert.equal(registry.state().endpoint, chains[1]?.url)
    })

    it('names both when neither can be had', async () => {
      await Promise.all(chains.map(async (chain) => chain.stop()))
      await assert.rejects(registry.lookup(NODE_1), (error: Error) => chains.every(({ url }) => error.message.includes(`chain ${url}: `)))
    })

    it('takes no other chain for the same', async () => {
      const [first, second] = chains as [StandInChain, StandInChain]
      await registry.list()
      second.state.genesisHash = `0x${'77'.repeat(32)}`
      await first.stop()
      assert.equal((await registry.list()).records[0]?.stale, true)
      await assert.rejects(registry.bootnodes(), {
        message: new RegExp(`${second.url}: this endpoint serves another chain than ${first.url}`),
      })
    })
  })

  it('goes on over a new connection when the old one is cut, losing no call', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain)
    await registry.lookup(NODE_1)
    chain.answerAfterMs = 50
    const answers = Promise.all([registry.list(), registry.lookup(NODE_1), registry.isRegistered(NODE_1, 'idle')])
    await chain.called(PROOF_OF_STAKE)
    chain.drop()
    const [list, record, registration] = await answers
    assert.deepEqual([list.stale, record.stale, registration.stale], [false, false, false])
    assert.equal(chain.connections, 2)
  })

  it('waits for one that is slow but alive, longer than silence may last', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, {
      options: { pingAfterMs: 300, silenceMs: 300, callTimeoutMs: 10_000, connectTimeoutMs: 10_000 },
    })
    chain.answerAfterMs = 400
    assert.equal((await registry.lookup(NODE_1))?.multiaddrs.length, 1)
    assert.equal(chain.connections, 1)
  })

  it('stops with the signal’s reason, whatever the endpoint does', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain)
    await registry.lookup(NODE_1)
    chain.fault = 'silent'
    const reason = new Error('enough')
    const giveUp = new AbortController()
    const called = chain.called('state_queryStorageAt')
    const lookup = registry.lookup(NODE_1, { signal: giveUp.signal })
    await called
    giveUp.abort(reason)
    await assert.rejects(lookup, (error) => error === reason)
    await assert.rejects(registry.list({ signal: AbortSignal.abort(reason) }), (error) => error === reason)
  })

  it('finds out about an endpoint that went silent even when nobody waits so long', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, { options: { silenceMs: 60, patienceMs: 20, backoff: { firstMs: 1, maxMs: 1 } } })
    await registry.lookup(NODE_1)
    chain.fault = 'silent'
    chain.faulty = ['state_queryStorageAt', 'chain_getBlockHash']
    const signal = AbortSignal.timeout(10)
    await assert.rejects(registry.bootnodes({ signal }), { name: 'TimeoutError' })
    while (registry.state().lastError?.includes('the endpoint is silent') !== true || chain.openConnections > 0) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })

  it('lets only so many calls wait, and says so', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, { options: { maxInFlight: 4, maxQueued: 8, blockMs: 600_000 } })
    await registry.lookup(NODE_1)
    chain.answerAfterMs = 20
    const peers = await Promise.all(Array.from({ length: 30 }, async () => (await newPeer()).peerId))
    const outcomes = await Promise.allSettled(peers.map(async (peer) => registry.isRegistered(peer, 'registered')))
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason)
    assert.equal(refused.length, 30 - 4 - 8)
    for (const { code, message } of refused) {
      assert.equal(code, 'CHAIN_UNAVAILABLE')
      assert.equal(message, `chain ${chain.url}: state_call: 8 calls are waiting already`)
    }
    assert.equal((await registry.isRegistered(NODE_1, 'registered')).registered, true)
  })

  it('answers whoever waits when it is closed, and leaves nothing open', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, await setup.kept())
    await registry.lookup(NODE_1)
    chain.fault = 'silent'
    const called = chain.called(PROOF_OF_STAKE)
    const calls = [registry.lookup(NODE_1), registry.list(), registry.isRegistered(NODE_1, 'idle')]
    const over = Promise.allSettled(calls)
    await called
    await registry.close()
    for (const outcome of await over) {
      assert.ok(outcome.status === 'rejected')
      assert.match(outcome.reason.message, /the connection was closed$/)
      assert.equal(outcome.reason.code, 'CHAIN_UNAVAILABLE')
    }
    await registry.close()
    await assert.rejects(registry.lookup(NODE_1), /the connection was closed$/)
    while (chain.openConnections > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })

  it('can be closed while it connects', async () => {
    const chain = await setup.chain()
    chain.fault = 'silent'
    const registry = setup.registry(chain)
    const called = chain.called('chain_getBlockHash')
    const lookup = registry.lookup(NODE_1)
    const over = assert.rejects(lookup, /the connection was closed$/)
    await called
    await registry.close()
    await over
  })
})
