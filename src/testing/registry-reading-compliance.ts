import assert from 'node:assert/strict'
import type { Multiaddr } from '@multiformats/multiaddr'
import { type ChainRecord, type ChainRegistry, NODE_CLASSES, type NodeClass, NoSubnetError, type PeerRole } from '../chain/registry.ts'
import { NAMED_OVER } from '../primitives/address-kind.ts'
import { newPeers, type TestPeer } from './peers.ts'
import { type NotRun, suiteOf, type TestSuite } from './suite.ts'

/** A chain read by a driver, initially empty. The test changes the chain, through the driver or directly. */
export interface ReadChain {
  /** A registry that acts for this peer; closed by the test. */
  registryOf(peer: TestPeer, subnetId?: number): ChainRegistry
  /** Sets a peer's only address, in place of the previous address. */
  publish(peer: TestPeer, multiaddr: Multiaddr): Promise<void>
  /** Removes a peer's addresses. */
  remove(peer: TestPeer): Promise<void>
  /** Registers a peer, or changes its class. */
  register(peer: TestPeer, nodeClass: NodeClass): Promise<void>
  /** Ends the registration of a peer. */
  unregister(peer: TestPeer): Promise<void>
  /** Present if the chain has nodes with several peers. */
  roles?: {
    /** Adds a node of class `idle` with these peers. Only the bootnode peer has an address. @returns the ID of the node */
    addNode(peers: { main: TestPeer; bootnode: TestPeer; client: TestPeer }, bootnodeAt: Multiaddr): Promise<number>
    /** Adds the peer to the subnet as part of an overwatch node; undefined removes the peer. */
    setOverwatch(peer: TestPeer, nodeId: number | undefined): Promise<void>
    /** Names a bootnode as the owner of the subnet. */
    setBootnode(peer: TestPeer, multiaddr: Multiaddr): Promise<void>
  }
  /** IDs of missing subnets; absent for a chain that is itself a single subnet. */
  missing?: number[]
  /** Stops the chain, after its registries were closed. */
  stop(): Promise<void>
}

interface Described {
  peer: string
  role: PeerRole | undefined
  nodeId: number | undefined
  nodeClass: NodeClass | undefined
  multiaddrs: string[]
}

/**
 * The compliance tests for reading with a chain driver: `describeReading('the ledger', async () => chain)`.
 * @param given the test suite, by default the runner's globals
 */
export function describeReading(name: string, start: () => Promise<ReadChain>, given?: TestSuite): void {
  const { describe, beforeEach, afterEach, test } = suiteOf(given)
  describe(`${name}, read as every chain`, () => {
    const registries: ChainRegistry[] = []
    let chain: ReadChain
    let peer: TestPeer
    let other: TestPeer
    let reader: ChainRegistry

    beforeEach(async () => {
      chain = await start()
      ;[peer, other] = (await newPeers(2)) as [TestPeer, TestPeer]
      reader = open(other)
    })

    afterEach(async () => {
      await Promise.all(registries.splice(0).map(async (registry) => registry.close()))
      await chain.stop()
    })

    function open(of: TestPeer, subnetId?: number): ChainRegistry {
      const registry = chain.registryOf(of, subnetId)
      registries.push(registry)
      return registry
    }

    async function addressesOf(of: TestPeer, registry = reader): Promise<string[]> {
      return (await registry.lookup(of.peerId)).multiaddrs.map(String)
    }

    async function isRegistered(of: TestPeer, minClass: NodeClass): Promise<boolean> {
      return (await reader.isRegistered(of.peerId, minClass)).registered
    }

    test('says what writing costs, who names its addresses, and whether it makes blocks', async () => {
      assert.ok(['free', 'paid', 'none'].includes(reader.writes))
      assert.ok(NAMED_OVER.includes(reader.namedOver))
      assert.equal(typeof reader.makesBlocks, 'boolean')
    })

    test('has nobody at first', async () => {
      assert.equal((await reader.lookup(peer.peerId)).known, false)
      assert.deepEqual((await reader.list()).records, [])
      assert.deepEqual((await reader.bootnodes()).records, [])
      assert.equal(await isRegistered(peer, 'registered'), false)
    })

    test('gives what is there now: an address, another one, none', async () => {
      await chain.publish(peer, peer.at(1))
      assert.deepEqual(await addressesOf(peer), [peer.at(1).toString()])
      await chain.publish(peer, peer.at(2))
      assert.deepEqual(await addressesOf(peer), [peer.at(2).toString()])
      assert.equal((await reader.lookup(other.peerId)).known, false)
      await chain.remove(peer)
      assert.equal((await reader.lookup(peer.peerId)).known, false)
      assert.deepEqual((await reader.list()).records, [])
    })

    test('tells of a record when and where it was read, and that it is not stale', async () => {
      await chain.publish(peer, peer.at(1))
      const before = Date.now()
      const record = (await reader.lookup(peer.peerId)) as ChainRecord
      assert.ok(record.peerId.equals(peer.peerId))
      assert.equal(record.stale, false)
      assert.ok(record.readAtMs >= before && record.readAtMs <= Date.now())
      assert.ok(Number.isSafeInteger(record.block) && record.block >= 0)
      const [listed] = (await reader.list()).records
      assert.deepEqual(
        [listed?.peerId.toString(), listed?.multiaddrs.map(String), listed?.verified, listed?.seq],
        [record.peerId.toString(), record.multiaddrs.map(String), record.verified, record.seq],
      )
    })

    test('lists all that have addresses, each once, and keeps subnets apart', async () => {
      const peers = await newPeers(5)
      await Promise.all(peers.map(async (each) => chain.publish(each, each.at(1))))
      const listed = (await reader.list()).records
      assert.deepEqual(listed.map(({ peerId }) => peerId.toString()).sort(), peers.map(({ peerId }) => peerId.toString()).sort())
      const elsewhere = open(other, 128_002)
      assert.deepEqual((await elsewhere.list()).records, [])
      assert.deepEqual(await addressesOf(peers[0] as TestPeer, elsewhere), [])
    })

    test('knows who is registered, by class: each class includes those before it', async () => {
      assert.equal(await isRegistered(peer, 'registered'), false)
      for (const [index, nodeClass] of NODE_CLASSES.entries()) {
        await chain.register(peer, nodeClass)
        const said = await Promise.all(NODE_CLASSES.map(async (minClass) => isRegistered(peer, minClass)))
        assert.deepEqual(
          said,
          NODE_CLASSES.map((_, minIndex) => minIndex <= index),
          nodeClass,
        )
      }
      const { peerId, stale, readAtMs } = await reader.isRegistered(peer.peerId, 'idle')
      assert.deepEqual([peerId.toString(), stale], [peer.peerId.toString(), false])
      assert.ok(Math.abs(readAtMs - Date.now()) < 10_000)
      assert.equal(await isRegistered(other, 'registered'), false)
      await chain.unregister(peer)
      assert.equal(await isRegistered(peer, 'registered'), false)
    })

    function inShort({ peerId, role, nodeId, nodeClass, multiaddrs }: ChainRecord): Described {
      return { peer: peerId.toString(), role, nodeId, nodeClass, multiaddrs: multiaddrs.map(String) }
    }

    test('has a peer that is registered without an address, which differs from a stranger', async () => {
      await chain.register(peer, 'idle')
      const { known, multiaddrs, nodeClass } = await reader.lookup(peer.peerId)
      assert.deepEqual({ known, multiaddrs, nodeClass }, { known: true, multiaddrs: [], nodeClass: 'idle' })
      assert.deepEqual((await reader.list()).records.map(inShort), [inShort(await reader.lookup(peer.peerId))])
      const described = await reader.describe(peer.peerId)
      assert.deepEqual([described.known, described.nodeClass, described.stale], [true, 'idle', false])
      assert.deepEqual([(await reader.lookup(other.peerId)).known, (await reader.describe(other.peerId)).known], [false, false])
    })

    test('tells of each peer of a node what it is, with and without an address, and lets each in', async (notRun: NotRun) => {
      if (chain.roles == null) {
        notRun('this chain has no roles')
      }
      const [main, bootnode, client] = (await newPeers(3)) as [TestPeer, TestPeer, TestPeer]
      const nodeId = await chain.roles.addNode({ main, bootnode, client }, bootnode.at(7))
      const expected = (
        [
          ['main', main],
          ['bootnode', bootnode],
          ['client', client],
        ] as const
      ).map(
        ([role, { peerId, at }]): Described => ({
          peer: peerId.toString(),
          role,
          nodeId,
          nodeClass: 'idle',
          multiaddrs: role === 'bootnode' ? [at(7).toString()] : [],
        }),
      )
      assert.deepEqual((await reader.list()).records.map(inShort), expected)
      for (const [index, { peerId }] of [main, bootnode, client].entries()) {
        assert.deepEqual(inShort(await reader.lookup(peerId)), expected[index])
        assert.deepEqual(inShort(await reader.describe(peerId)), expected[index])
        assert.equal((await reader.isRegistered(peerId, 'idle')).registered, true)
      }
      const { subnetId, friendlyId, hotkey, coldkey } = await reader.describe(client.peerId)
      assert.deepEqual([typeof subnetId, typeof friendlyId], ['number', 'number'])
      assert.match(`${hotkey} ${coldkey}`, /^0x[0-9a-f]{40} 0x[0-9a-f]{40}$/i)
    })

    test('has overwatch nodes, and lets them in, whatever the class', async (notRun: NotRun) => {
      if (chain.roles == null) {
        notRun('this chain has no roles')
      }
      await chain.roles.setOverwatch(peer, 3)
      const expected: Described = {
        peer: peer.peerId.toString(),
        role: 'overwatch',
        nodeId: 3,
        nodeClass: undefined,
        multiaddrs: [],
      }
      assert.deepEqual(inShort(await reader.lookup(peer.peerId)), expected)
      assert.deepEqual((await reader.list()).records.map(inShort), [expected])
      assert.match((await reader.describe(peer.peerId)).hotkey ?? '', /^0x/)
      assert.equal(await isRegistered(peer, 'validator'), true)
      await chain.roles.setOverwatch(peer, undefined)
      assert.equal((await reader.lookup(peer.peerId)).known, false)
      assert.equal(await isRegistered(peer, 'registered'), false)
    })

    test('takes a peer for what comes first, and an address from where there is one', async (notRun: NotRun) => {
      if (chain.roles == null) {
        notRun('this chain has no roles')
      }
      await chain.roles.setBootnode(peer, peer.at(5))
      const named: Described = {
        peer: peer.peerId.toString(),
        role: 'bootnode',
        nodeId: undefined,
        nodeClass: undefined,
        multiaddrs: [peer.at(5).toString()],
      }
      assert.deepEqual(inShort(await reader.lookup(peer.peerId)), named)
      assert.deepEqual((await reader.bootnodes()).records.map(inShort), [named])
      assert.equal(await isRegistered(peer, 'validator'), true)
      await chain.roles.setOverwatch(peer, 4)
      assert.deepEqual(inShort(await reader.lookup(peer.peerId)), { ...named, role: 'overwatch', nodeId: 4 })
      await chain.register(peer, 'included')
      const { role, nodeClass, multiaddrs } = inShort(await reader.lookup(peer.peerId))
      assert.deepEqual({ role, nodeClass, multiaddrs }, { role: 'main', nodeClass: 'included', multiaddrs: named.multiaddrs })
      assert.deepEqual((await reader.list()).records.map(inShort), [inShort(await reader.lookup(peer.peerId))])
      await chain.publish(peer, peer.at(6))
      assert.deepEqual(await addressesOf(peer), [peer.at(6).toString()])
    })

    test('says of a subnet that is not there that it is not, whatever is asked', async (notRun: NotRun) => {
      if (chain.missing == null) {
        notRun('this chain has every subnet')
      }
      for (const id of chain.missing) {
        const nowhere = open(other, id)
        const asked = [
          nowhere.lookup(peer.peerId),
          nowhere.list(),
          nowhere.bootnodes(),
          nowhere.describe(peer.peerId),
          nowhere.isRegistered(peer.peerId, 'registered'),
        ]
        for (const outcome of await Promise.allSettled(asked)) {
          assert.ok(outcome.status === 'rejected' && outcome.reason instanceof NoSubnetError)
          assert.equal(outcome.reason.code, 'USAGE')
          assert.match(outcome.reason.message, new RegExp(`there is no subnet ${id}$`))
        }
      }
    })

    test('answers many at once', async () => {
      await chain.publish(peer, peer.at(1))
      const records = await Promise.all(Array.from({ length: 50 }, async () => reader.lookup(peer.peerId)))
      assert.ok(records.every((record) => record?.multiaddrs.length === 1))
    })

    test('tells who changed, block after block, until it is told to stop', async () => {
      const stop = new AbortController()
      const told = new Set<string>()
      const blocks: number[] = []
      const over = (async () => {
        for await (const { block, peers } of reader.watch({ signal: stop.signal })) {
          blocks.push(block)
          for (const each of peers ?? []) {
            told.add(each.toString())
          }
        }
      })()
      // the start of the watch is not reported, so changes repeat until one is seen
      for (let port = 1; !told.has(peer.peerId.toString()); port++) {
        await chain.publish(peer, peer.at(port))
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      stop.abort()
      await over
      assert.deepEqual(
        blocks,
        blocks.toSorted((a, b) => a - b),
      )
    })

    test('knows of the chain what was read last, without asking it', async () => {
      await chain.publish(peer, peer.at(1))
      const record = await reader.lookup(peer.peerId)
      const { endpoint, block, lagMs, lastError } = reader.state()
      assert.ok(endpoint.length > 0)
      assert.ok(block != null && block >= (record?.block ?? 0))
      assert.ok(lagMs != null && lagMs >= 0 && lagMs < 60_000)
      assert.equal(lastError, undefined)
    })

    test('stops with the signal’s reason', async () => {
      const reason = new Error('changed my mind')
      const options = { signal: AbortSignal.abort(reason) }
      const asked = [
        reader.lookup(peer.peerId, options),
        reader.list(options),
        reader.bootnodes(options),
        reader.describe(peer.peerId, options),
        reader.isRegistered(peer.peerId, 'registered', options),
      ]
      for (const outcome of await Promise.allSettled(asked)) {
        assert.ok(outcome.status === 'rejected')
        assert.equal(outcome.reason, reason)
      }
    })

    test('can be closed twice, and before it was used', async () => {
      const unused = open(peer)
      await unused.close()
      await reader.lookup(peer.peerId)
      await reader.close()
      await reader.close()
    })
  })
}
