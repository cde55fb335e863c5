import assert from 'node:assert/strict'
import type { Multiaddr } from '@multiformats/multiaddr'
import { type ChainRecord, type ChainRegistry, NODE_CLASSES, type NodeClass } from '../../src/chain/registry.ts'
import { newPeers, type TestPeer } from './keys.ts'

/** A chain that a driver reads, empty at first; what is on it is the test's doing, through the driver or past it. */
export interface ReadChain {
  /** A registry that acts for this peer; the test closes it. */
  registryOf(peer: TestPeer, subnetId?: number): ChainRegistry
  /** Gives a peer this one address, in place of the one it had. */
  publish(peer: TestPeer, multiaddr: Multiaddr): Promise<void>
  remove(peer: TestPeer): Promise<void>
  register(peer: TestPeer, nodeClass: NodeClass): Promise<void>
  unregister(peer: TestPeer): Promise<void>
  stop(): Promise<void>
}

/** What every chain driver must do when it is read: `describeReading('the ledger', async () => chain)`. */
export function describeReading(name: string, start: () => Promise<ReadChain>): void {
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

    it('has nobody at first', async () => {
      assert.equal((await reader.lookup(peer.peerId)).known, false)
      assert.deepEqual((await reader.list()).records, [])
      assert.deepEqual((await reader.bootnodes()).records, [])
      assert.equal(await isRegistered(peer, 'registered'), false)
    })

    it('gives what is there now: an address, another one, none', async () => {
      await chain.publish(peer, peer.at(1))
      assert.deepEqual(await addressesOf(peer), [peer.at(1).toString()])
      await chain.publish(peer, peer.at(2))
      assert.deepEqual(await addressesOf(peer), [peer.at(2).toString()])
      assert.equal((await reader.lookup(other.peerId)).known, false)
      await chain.remove(peer)
      assert.equal((await reader.lookup(peer.peerId)).known, false)
      assert.deepEqual((await reader.list()).records, [])
    })

    it('tells of a record when and where it was read, and that it is not stale', async () => {
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

    it('lists all that have addresses, each once, and keeps subnets apart', async () => {
      const peers = await newPeers(5)
      await Promise.all(peers.map(async (each) => chain.publish(each, each.at(1))))
      const listed = (await reader.list()).records
      assert.deepEqual(listed.map(({ peerId }) => peerId.toString()).sort(), peers.map(({ peerId }) => peerId.toString()).sort())
      const elsewhere = open(other, 128_002)
      assert.deepEqual((await elsewhere.list()).records, [])
      assert.deepEqual(await addressesOf(peers[0] as TestPeer, elsewhere), [])
    })

    it('knows who is registered, by class: each class includes those before it', async () => {
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

    it('answers many at once', async () => {
      await chain.publish(peer, peer.at(1))
      const records = await Promise.all(Array.from({ length: 50 }, async () => reader.lookup(peer.peerId)))
      assert.ok(records.every((record) => record?.multiaddrs.length === 1))
    })

    it('tells who changed, block after block, until it is told to stop', async () => {
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
      // from when on it watches is not told: so there is another change until one is seen
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

    it('knows of the chain what was read last, without asking it', async () => {
      await chain.publish(peer, peer.at(1))
      const record = await reader.lookup(peer.peerId)
      const { endpoint, block, lagMs, lastError } = reader.state()
      assert.ok(endpoint.length > 0)
      assert.ok(block != null && block >= (record?.block ?? 0))
      assert.ok(lagMs != null && lagMs >= 0 && lagMs < 60_000)
      assert.equal(lastError, undefined)
    })

    it('stops with the signal’s reason', async () => {
      const reason = new Error('changed my mind')
      const options = { signal: AbortSignal.abort(reason) }
      for (const work of [
        reader.lookup(peer.peerId, options),
        reader.list(options),
        reader.bootnodes(options),
        reader.isRegistered(peer.peerId, 'registered', options),
      ]) {
        await assert.rejects(work, (error) => error === reason)
      }
    })

    it('can be closed twice, and before it was used', async () => {
      const unused = open(peer)
      await unused.close()
      await reader.lookup(peer.peerId)
      await reader.close()
      await reader.close()
    })
  })
}
