import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import { type ChainChange, type ChainRegistry, NODE_CLASSES, type NodeClass, type PublishedRecord } from '../chain/registry.ts'
import { addresses, newPeer, newPeers, type TestPeer } from './peers.ts'
import { suiteOf, type TestSuite } from './suite.ts'

/** A chain shared by a driver's registries, initially empty. */
export interface TestChain {
  /** A registry that acts for this peer; closed by the test. */
  registryOf(peer: TestPeer, subnetId?: number): ChainRegistry
  /** Changes the subnet's peers on a chain whose registries cannot. */
  owner?: {
    /** Registers the peer, or changes its class. */
    enter(peer: TestPeer, nodeClass: NodeClass): Promise<void>
    /** Removes the peer. */
    leave(peer: TestPeer): Promise<void>
  }
  /** Stops the chain, after its registries were closed. */
  stop(): Promise<void>
}

/**
 * The compliance tests for chain drivers that publish with the peer's own key: `describeRegistry('the ledger', async () => chain)`.
 * @param given the test suite, by default the runner's globals
 */
export function describeRegistry(name: string, start: () => Promise<TestChain>, given?: TestSuite): void {
  const { describe, beforeEach, afterEach, test } = suiteOf(given)
  describe(`${name}, as every chain`, () => {
    const registries: ChainRegistry[] = []
    let chain: TestChain
    let peer: TestPeer
    let other: TestPeer
    let own: ChainRegistry
    let reader: ChainRegistry

    beforeEach(async () => {
      chain = await start()
      ;[peer, other] = (await newPeers(2)) as [TestPeer, TestPeer]
      own = open(peer)
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

    async function enter(who: TestPeer, nodeClass: NodeClass): Promise<void> {
      await (chain.owner?.enter(who, nodeClass) ?? open(who).register(nodeClass))
    }

    async function leave(who: TestPeer): Promise<void> {
      await (chain.owner?.leave(who) ?? open(who).unregister())
    }

    async function isRegistered(who: TestPeer, minClass: NodeClass = 'registered', registry = reader): Promise<boolean> {
      const registration = await registry.isRegistered(who.peerId, minClass)
      assert.ok(registration.peerId.equals(who.peerId))
      assert.ok(registration.block >= 0 && registration.readAtMs <= Date.now() && !registration.stale)
      return registration.registered
    }

    test('lets a peer publish with its key alone, free of charge', async () => {
      assert.equal(own.writes, 'free')
    })

    test('knows nobody at first', async () => {
      assert.equal((await reader.lookup(peer.peerId)).known, false)
      assert.deepEqual((await reader.list()).records, [])
      assert.equal(await own.remove(), false)
    })

    test('shows everybody what a peer published, each address ending in its /p2p, none twice', async () => {
      const bare = multiaddr('/ip4/10.0.0.1/tcp/1000')
      const published = await own.publish([bare, ...addresses(peer, 3)])
      assert.deepEqual(published.multiaddrs.map(String), addresses(peer, 3).map(String))
      assert.ok(published.peerId.equals(peer.peerId))
      assert.ok(published.block >= 0)
      assert.deepEqual(plain(await reader.lookup(peer.peerId)), plain(published))
      assert.deepEqual(plain(await own.lookup(peer.peerId)), plain(published))
      assert.deepEqual((await reader.list()).records.map(plain), [plain(published)])
      assert.equal((await reader.lookup(other.peerId)).known, false)
    })

    test('replaces what a peer published before, under a higher number, never in an earlier block', async () => {
      const first = await own.publish(addresses(peer, 2))
      const second = await own.publish(addresses(peer, 1, 2_000))
      assert.ok(second.seq > first.seq || (first.seq === 0n && second.seq === 0n))
      assert.ok(second.block >= first.block)
      assert.deepEqual(plain(await reader.lookup(peer.peerId)), plain(second))
    })

    test('writes nothing where a peer publishes what is there', async () => {
      const first = await own.publish(addresses(peer, 2))
      const again = await own.publish(addresses(peer, 2))
      assert.deepEqual([again.seq, again.block, again.multiaddrs.join()], [first.seq, first.block, first.multiaddrs.join()])
      assert.deepEqual(plain(await reader.lookup(peer.peerId)), plain(first))
    })

    test('lists all who published, each once', async () => {
      await own.publish(addresses(peer, 2))
      await reader.publish(addresses(other, 1))
      await own.publish(addresses(peer, 1))
      const listed = (await reader.list()).records
      assert.deepEqual(listed.map(({ peerId }) => peerId.toString()).sort(), [peer.peerId.toString(), other.peerId.toString()].sort())
    })

    test('forgets a peer that took its addresses out, until it publishes again', async () => {
      await own.publish(addresses(peer, 2))
      await reader.publish(addresses(other, 1))
      assert.equal(await own.remove(), true)
      assert.equal((await reader.lookup(peer.peerId)).known, false)
      assert.deepEqual(
        (await reader.list()).records.map(({ peerId }) => peerId.toString()),
        [other.peerId.toString()],
      )
      assert.equal(await own.remove(), false)
      await own.publish(addresses(peer, 1))
      assert.equal((await reader.lookup(peer.peerId))?.multiaddrs.length, 1)
    })

    test('takes no address of another peer, no address that is too long, and no empty list: nothing is changed then', async () => {
      const published = await own.publish(addresses(peer, 1))
      const tooLong = multiaddr(`/dns4/${'a'.repeat(1_100)}/tcp/1`)
      for (const refused of [[other.at(1)], [...addresses(peer, 2), other.at(1)], [tooLong], []]) {
        await assert.rejects(own.publish(refused), { code: 'USAGE' })
      }
      assert.deepEqual(plain(await reader.lookup(peer.peerId)), plain(published))
      assert.equal((await reader.lookup(other.peerId)).known, false)
    })

    test('takes what several peers publish at once', async () => {
      const peers = await newPeers(6)
      await Promise.all(peers.map(async (each) => open(each).publish(addresses(each, 1))))
      const listed = (await reader.list()).records
      assert.deepEqual(listed.map(({ peerId }) => peerId.toString()).sort(), peers.map(({ peerId }) => peerId.toString()).sort())
    })

    test('takes what one peer publishes from several places at once: the highest number stays', async () => {
      const published = await Promise.all([1_000, 2_000, 3_000, 4_000].map(async (port) => open(peer).publish([peer.at(port)])))
      const last = published.reduce((a, b) => (b.block > a.block || (b.block === a.block && b.seq > a.seq) ? b : a))
      assert.deepEqual(plain(await reader.lookup(peer.peerId)), plain(last))
    })

    test('keeps subnets apart', async () => {
      await own.publish(addresses(peer, 1))
      const elsewhere = open(peer, 128_002)
      assert.equal((await elsewhere.lookup(peer.peerId)).known, false)
      assert.deepEqual((await elsewhere.list()).records, [])
      assert.equal(await elsewhere.remove(), false)
      await elsewhere.publish(addresses(peer, 1, 2_000))
      assert.deepEqual((await reader.lookup(peer.peerId))?.multiaddrs.map(String), addresses(peer, 1).map(String))
    })

    test('has whoever entered as registered, with its class and those before it, and nobody else', async () => {
      assert.equal(await isRegistered(peer), false)
      for (const [rank, nodeClass] of NODE_CLASSES.entries()) {
        await enter(peer, nodeClass)
        const answers = await Promise.all(NODE_CLASSES.map(async (minClass) => isRegistered(peer, minClass)))
        assert.deepEqual(
          answers,
          NODE_CLASSES.map((_, min) => min <= rank),
          nodeClass,
        )
        assert.equal(await isRegistered(other), false)
      }
      await enter(peer, 'idle')
      assert.deepEqual([await isRegistered(peer, 'idle'), await isRegistered(peer, 'included')], [true, false], 'a class may be lost')
      await leave(peer)
      assert.equal(await isRegistered(peer), false)
      await enter(peer, 'registered')
      assert.equal(await isRegistered(peer), true)
    })

    test('lets a peer enter and leave by itself, or says that it does not', async () => {
      if (chain.owner != null) {
        await assert.rejects(own.register('registered'), { code: 'USAGE' })
        await assert.rejects(own.unregister(), { code: 'USAGE' })
        return
      }
      assert.equal(await own.unregister(), false)
      const { peerId, registered, block, stale } = await own.register('included')
      assert.deepEqual({ peerId: peerId.toString(), registered, stale }, { peerId: peer.peerId.toString(), registered: true, stale: false })
      const found = await reader.isRegistered(peer.peerId, 'registered')
      assert.equal(found.block, block)
      assert.equal(await reader.unregister(), false, 'nobody leaves for another')
      assert.equal(await isRegistered(peer), true)
      assert.equal(await own.unregister(), true)
      assert.equal(await own.unregister(), false)
      assert.equal(await isRegistered(peer), false)
    })

    test('takes no class that is none', async () => {
      await enter(peer, 'validator')
      for (const none of ['none', '', 'Validator'] as string[] as NodeClass[]) {
        await assert.rejects(reader.isRegistered(peer.peerId, none), { code: 'USAGE' })
        await assert.rejects(own.register(none), { code: 'USAGE' })
      }
    })

    test('keeps the registrations of subnets apart', async () => {
      await enter(peer, 'validator')
      const elsewhere = open(other, 128_002)
      assert.equal(await isRegistered(peer, 'registered', elsewhere), false)
      if (chain.owner == null) {
        assert.equal(await open(peer, 128_002).unregister(), false)
        await open(peer, 128_002).register('registered')
        assert.equal(await isRegistered(peer, 'validator', elsewhere), false)
        await open(peer, 128_002).unregister()
      }
      assert.equal(await isRegistered(peer, 'validator'), true)
    })

    test('tells who changed while it is watched, and ends with the signal', async () => {
      const enough = new AbortController()
      const changes = reader.watch({ signal: enough.signal })[Symbol.asyncIterator]()
      // requests are ordered, so the watch has started once this lookup is answered
      await reader.lookup(peer.peerId)
      const until = async (who: TestPeer): Promise<void> => {
        for (;;) {
          const { value, done } = await changes.next()
          assert.notEqual(done, true)
          const { block, peers } = value as ChainChange
          assert.ok(block >= 0)
          if (peers?.some((each) => each.equals(who.peerId)) !== false) {
            return
          }
        }
      }
      await own.publish(addresses(peer, 1))
      await until(peer)
      await enter(other, 'idle')
      await until(other)
      const last = changes.next()
      enough.abort(new Error('seen'))
      assert.equal((await last).done, true)
    })

    test('knows what it heard of the chain', async () => {
      const { endpoint } = reader.state()
      assert.ok(endpoint.length > 0)
      await own.publish(addresses(peer, 1))
      const record = await reader.lookup(peer.peerId)
      const { block, lagMs, lastError } = reader.state()
      assert.ok(block != null && record != null && block >= record.block)
      assert.ok(lagMs != null && lagMs >= 0)
      assert.equal(lastError, undefined)
      assert.ok(record.readAtMs <= Date.now() && record.readAtMs > Date.now() - 60_000)
    })

    test('stops with the signal’s reason, and changes nothing', async () => {
      await own.publish(addresses(peer, 1))
      const reason = new Error('changed my mind')
      const options = { signal: AbortSignal.abort(reason) }
      const rejects = async (work: Promise<unknown>) => assert.rejects(work, (error) => error === reason)
      await rejects(reader.lookup(peer.peerId, options))
      await rejects(reader.list(options))
      await rejects(own.publish(addresses(peer, 1, 2_000), options))
      await rejects(own.remove(options))
      await rejects(reader.bootnodes(options))
      await rejects(reader.isRegistered(peer.peerId, 'registered', options))
      if (chain.owner == null) {
        await rejects(own.register('registered', options))
        await rejects(own.unregister(options))
        assert.equal(await isRegistered(peer), false)
      }
      assert.deepEqual((await reader.lookup(peer.peerId))?.multiaddrs.map(String), addresses(peer, 1).map(String))
    })

    test('can be closed twice, and before it was used', async () => {
      const unused = open(await newPeer())
      await unused.close()
      await own.publish(addresses(peer, 1))
      await own.close()
      await own.close()
    })
  })
}

/** The values of a record without its read time, for comparison. */
function plain({ peerId, multiaddrs, verified, seq, block, stale }: PublishedRecord): unknown {
  return { peerId: peerId.toString(), multiaddrs: multiaddrs.map(String), verified, seq, block, stale }
}
