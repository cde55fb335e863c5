import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { type ChainRecord, NODE_CLASSES } from '../../../../src/chain/registry.ts'
import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { HypertensorState, NODE_1, RECORDED, recordedPeers, SUBNET } from '../../../support/hypertensor-state.ts'
import { newPeer, newPeers } from '../../../support/keys.ts'

describe('a Hypertensor chain, read', () => {
  const setup = new HypertensorSetup()

  afterEach(async () => setup.clean())

  for (const [runtime, strict] of [
    ['v3', false],
    ['v3', true],
    ['earlier', false],
    ['earlier', true],
  ] as const) {
    const where = `a node of the runtime ${runtime}${strict ? ' that knows only what is needed' : ''}`
    const start = async () => setup.chain({ state: new HypertensorState(runtime), strict })

    it(`gives of every recorded peer exactly its address, or none, at ${where}`, async () => {
      const registry = setup.registry(await start())
      for (const [peer, address] of recordedPeers(runtime)) {
        const record = await registry.lookup(peerIdFromString(peer))
        assert.deepEqual(record?.multiaddrs.map(String), address == null ? [] : [address], peer)
      }
      const { verified, seq, stale, block, readAtMs } = (await registry.lookup(NODE_1)) as ChainRecord
      assert.deepEqual({ verified, seq, stale, block }, { verified: false, seq: 0n, stale: false, block: strict ? 0 : 5 })
      assert.ok(Math.abs(readAtMs - Date.now()) < 10_000)
      assert.equal((await registry.lookup((await newPeer()).peerId)).known, false)
    })

    it(`says of every recorded peer and class what the chain says, at ${where}`, async () => {
      const registry = setup.registry(await start())
      for (const [question, expected] of Object.entries(RECORDED.proofOfStake)) {
        const [peer = '', minClass] = question.split('/')
        const nodeClass = NODE_CLASSES[Number(minClass)] ?? 'registered'
        const { registered, stale } = await registry.isRegistered(peerIdFromString(peer), nodeClass)
        assert.deepEqual({ registered, stale }, { registered: expected, stale: false }, question)
      }
      assert.equal((await registry.isRegistered((await newPeer()).peerId, 'registered')).registered, false)
    })

    it(`lists all, with and without an address, and names the bootnodes, at ${where}`, async () => {
      const registry = setup.registry(await start())
      const expected = [...recordedPeers(runtime)].map((peer) => peer.filter((part) => part != null))
      const listed = (await registry.list()).records.map(({ peerId, multiaddrs }) => [peerId.toString(), ...multiaddrs.map(String)])
      assert.deepEqual(listed.sort(), expected.sort())
      const bootnodes = (await registry.bootnodes()).records.map(({ peerId, multiaddrs }) => [peerId.toString(), ...multiaddrs.map(String)])
      assert.deepEqual(bootnodes, RECORDED.subnetBootnodes)
    })
  }

  it('reads key by key where the node has no method for many', async () => {
    const chain = await setup.chain({ without: ['state_queryStorageAt'] })
    const registry = setup.registry(chain)
    assert.equal((await registry.lookup(NODE_1))?.multiaddrs.length, 1)
    assert.equal((await registry.list()).records.length, 5)
    assert.equal(chain.count('state_queryStorageAt'), 1)
  })

  it('tells the block that the state is of', async () => {
    const chain = await setup.chain({ strict: true })
    chain.state.block = 70_000
    chain.tellBlockInStorage()
    const registry = setup.registry(chain)
    assert.equal((await registry.lookup(NODE_1))?.block, 70_000)
    chain.newHead()
    assert.equal((await registry.list()).records[0]?.block, 70_001)
    chain.newHead()
    assert.equal((await registry.isRegistered(NODE_1, 'idle')).block, 70_002)
    const { endpoint, block, lagMs, lastError } = registry.state()
    assert.deepEqual({ endpoint, block, lastError }, { endpoint: chain.url, block: 70_002, lastError: undefined })
    assert.ok(lagMs != null && lagMs < 10_000)
  })

  it('knows a subnet by its friendly id too, and says where there is none', async () => {
    const chain = await setup.chain()
    const [friendly, none] = [setup.registry(chain, { subnetId: 1 }), setup.registry(chain, { subnetId: 7 })]
    assert.equal((await friendly.lookup(NODE_1))?.multiaddrs.length, 1)
    assert.equal((await friendly.isRegistered(NODE_1, 'validator')).registered, true)
    assert.equal((await friendly.list()).records.length, 5)
    await assert.rejects(none.lookup(NODE_1), { code: 'USAGE', message: `chain ${chain.url}: there is no subnet 7`, hint: /--subnet-id/ })
    await assert.rejects(none.isRegistered(NODE_1, 'registered'), { code: 'USAGE' })
  })

  it('finds nobody in another subnet', async () => {
    const chain = await setup.chain()
    chain.state.addSubnet(128_002, 2)
    const registry = setup.registry(chain, { subnetId: 128_002 })
    assert.equal((await registry.lookup(NODE_1)).known, false)
    assert.deepEqual((await registry.list()).records, [])
    assert.deepEqual((await registry.bootnodes()).records, [])
    assert.equal((await registry.isRegistered(NODE_1, 'registered')).registered, false)
  })

  it('finds nodes that only registered, in the other map', async () => {
    const chain = await setup.chain()
    const { peerId, at } = await newPeer()
    chain.state.setNode(peerId.toString(), at(1), { map: 'RegisteredSubnetNodesData' })
    const registry = setup.registry(chain)
    assert.deepEqual((await registry.lookup(peerId))?.multiaddrs.map(String), [at(1).toString()])
    assert.equal((await registry.list()).records.length, 6)
  })

  it('takes nothing for an address that names another peer, no peer, or is none, and says so once', async () => {
    const chain = await setup.chain()
    const [owner, other] = await newPeers(2)
    assert.ok(owner != null && other != null)
    const refused = [
      other.at(1).bytes,
      multiaddr('/ip4/10.0.0.1/tcp/1').bytes,
      Buffer.from('nonsense'),
      Buffer.alloc(0),
      Buffer.alloc(1_500, 4),
      multiaddr(`/dns4/${'a'.repeat(1_100)}/tcp/1/p2p/${owner.peerId.toString()}`).bytes,
      Buffer.concat([Buffer.from('3603610a62060001', 'hex'), multiaddr(`/p2p/${owner.peerId.toString()}`).bytes]),
    ]
    const registry = setup.registry(chain)
    for (const bytes of refused) {
      chain.state.setNode(owner.peerId.toString(), bytes)
      const { known, multiaddrs } = await registry.lookup(owner.peerId)
      assert.deepEqual([known, multiaddrs], [true, []], Buffer.from(bytes).toString('hex'))
      assert.equal((await registry.list()).records.length, 6)
    }
    assert.equal(setup.logged.filter((line) => line.includes(`belongs to ${other.peerId.toString()}`)).length, 1)
    // what a node's owner may write as he likes is no peer of it
    const node = chain.state.get('SubnetNodesData', SUBNET, chain.state.nodeOf(owner.peerId.toString())) as object
    const id = chain.state.nodeOf(owner.peerId.toString())
    chain.state.set('SubnetNodesData', [SUBNET, id], {
      ...node,
      unique: Buffer.from(other.peerId.toString()),
      non_unique: other.at(1).bytes,
    })
    assert.equal((await registry.lookup(other.peerId)).known, false)
    assert.equal((await registry.list()).records.length, 6)
  })

  it('takes a bootnode’s address for a peer whose node has none', async () => {
    const chain = await setup.chain()
    const { peerId, at } = await newPeer()
    chain.state.setNode(peerId.toString(), undefined)
    chain.state.setBootnodes([[peerId.toString(), at(5).bytes]])
    const registry = setup.registry(chain)
    assert.deepEqual((await registry.lookup(peerId))?.multiaddrs.map(String), [at(5).toString()])
    chain.state.setNode(peerId.toString(), at(6))
    assert.deepEqual((await registry.lookup(peerId))?.multiaddrs.map(String), [at(6).toString()])
  })

  it('needs two round trips for a peer that is new to it, one for one that it knows, over one connection', async () => {
    const chain = await setup.chain()
    const registry = setup.registry(chain, { options: { blockMs: 60_000 } })
    await registry.bootnodes()
    chain.resetCounts()
    await registry.lookup(NODE_1)
    assert.deepEqual([chain.roundTrips, Object.fromEntries(chain.calls)], [2, { state_queryStorageAt: 2 }])
    chain.resetCounts()
    await registry.lookup(NODE_1)
    assert.deepEqual([chain.roundTrips, Object.fromEntries(chain.calls)], [1, { state_queryStorageAt: 1 }])
    chain.resetCounts()
    await registry.isRegistered(NODE_1, 'validator')
    assert.deepEqual([chain.roundTrips, Object.fromEntries(chain.calls)], [1, { NetworkRuntimeApi_proof_of_stake: 1 }])
    assert.equal(chain.connections, 1)
  })

  it('follows a peer whose node became another', async () => {
    const chain = await setup.chain()
    const { peerId, at } = await newPeer()
    const registry = setup.registry(chain)
    chain.state.setNode(peerId.toString(), at(1))
    assert.equal((await registry.lookup(peerId))?.multiaddrs[0]?.toString(), at(1).toString())
    chain.state.removeNode(peerId.toString())
    assert.equal((await registry.lookup(peerId)).known, false)
    chain.state.setNode(peerId.toString(), at(2))
    assert.equal((await registry.lookup(peerId))?.multiaddrs[0]?.toString(), at(2).toString())
    assert.equal((await registry.lookup(peerId))?.multiaddrs[0]?.toString(), at(2).toString())
  })

  it('answers a hundred lookups at once with a few calls', async () => {
    const chain = await setup.chain({ state: HypertensorState.empty() })
    const peers = await newPeers(100)
    for (const { peerId, at } of peers) {
      chain.state.setNode(peerId.toString(), at(1))
    }
    const registry = setup.registry(chain)
    await registry.bootnodes()
    chain.resetCounts()
    const records = await Promise.all(peers.map(async ({ peerId }) => registry.lookup(peerId)))
    assert.deepEqual(
      records.map((record) => record?.multiaddrs.map(String)),
      peers.map(({ at }) => [at(1).toString()]),
    )
    assert.ok(chain.count('state_queryStorageAt') <= 4, JSON.stringify([...chain.calls]))
    assert.ok(chain.roundTrips <= 4)
    const registrations = await Promise.all(peers.map(async ({ peerId }) => registry.isRegistered(peerId, 'registered')))
    assert.ok(registrations.every(({ registered }) => registered))
    assert.equal(chain.connections, 1)
  })

  it('reads a large subnet page by page, and none that is larger than chains are', async () => {
    const chain = await setup.chain({ state: HypertensorState.empty() })
    const value = new HypertensorState().storage.get(new HypertensorState().key('SubnetNodesData', SUBNET, 1)) as string
    for (let id = 1; id <= 10_000; id++) {
      chain.state.storage.set(chain.state.key('SubnetNodesData', SUBNET, id), value)
    }
    const registry = setup.registry(chain, { options: { callTimeoutMs: 20_000 } })
    assert.equal((await registry.list()).records.length, 1)
    assert.ok(chain.count('state_getKeysPaged') >= 11)
    chain.state.storage.set(chain.state.key('SubnetNodesData', SUBNET, 10_001), value)
    const fresh = setup.registry(chain)
    await assert.rejects(fresh.list(), { code: 'CHAIN_UNAVAILABLE', message: /more than 10000 nodes/ })
  }).timeout(60_000)

  it('does from here what costs no stake only: else it says what to do instead', async () => {
    const registry = setup.registry(['ws://127.0.0.1:9'])
    for (const work of [registry.remove(), registry.register(), registry.unregister()]) {
      await assert.rejects(work, { code: 'USAGE', message: / from here$/, hint: /Network\.\w+.*on the chain.*ledger:/ })
    }
    await assert.rejects(registry.publish([]), { code: 'USAGE', message: /must sign$/, hint: /--owner-key FILE/ })
  })
})
