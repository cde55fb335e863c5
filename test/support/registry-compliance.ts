import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import type { ChainRecord, ChainRegistry } from '../../src/chain/registry.ts'
import { addresses, newPeer, newPeers, type TestPeer } from './keys.ts'

/** A chain that a driver's registries share, empty at first. */
export interface TestChain {
  /** A registry that acts for this peer; the test closes it. */
  registryOf(peer: TestPeer, subnetId?: number): ChainRegistry
  stop(): Promise<void>
}

/** What every chain driver must do: `describeRegistry('the ledger', async () => chain)`. */
export function describeRegistry(name: string, start: () => Promise<TestChain>): void {
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

    it('knows nobody at first', async () => {
      assert.equal(await reader.lookup(peer.peerId), undefined)
      assert.deepEqual(await reader.list(), [])
      assert.equal(await own.remove(), false)
    })

    it('shows everybody what a peer published, each address ending in its /p2p, none twice', async () => {
      const bare = multiaddr('/ip4/10.0.0.1/tcp/1000')
      const published = await own.publish([bare, ...addresses(peer, 3)])
      assert.deepEqual(published.multiaddrs.map(String), addresses(peer, 3).map(String))
      assert.ok(published.peerId.equals(peer.peerId))
      assert.ok(published.block >= 0)
      assert.deepEqual(plain(await reader.lookup(peer.peerId)), plain(published))
      assert.deepEqual(plain(await own.lookup(peer.peerId)), plain(published))
      assert.deepEqual((await reader.list()).map(plain), [plain(published)])
      assert.equal(await reader.lookup(other.peerId), undefined)
    })

    it('replaces what a peer published before, under a higher number, never in an earlier block', async () => {
      const first = await own.publish(addresses(peer, 2))
      const second = await own.publish(addresses(peer, 1, 2_000))
      assert.ok(second.seq > first.seq || (first.seq === 0n && second.seq === 0n))
      assert.ok(second.block >= first.block)
      assert.deepEqual(plain(await reader.lookup(peer.peerId)), plain(second))
    })

    it('lists all who published, each once', async () => {
      await own.publish(addresses(peer, 2))
      await reader.publish(addresses(other, 1))
      await own.publish(addresses(peer, 1))
      const listed = await reader.list()
      assert.deepEqual(listed.map(({ peerId }) => peerId.toString()).sort(), [peer.peerId.toString(), other.peerId.toString()].sort())
    })

    it('forgets a peer that took its addresses out, until it publishes again', async () => {
      await own.publish(addresses(peer, 2))
      await reader.publish(addresses(other, 1))
      assert.equal(await own.remove(), true)
      assert.equal(await reader.lookup(peer.peerId), undefined)
      assert.deepEqual(
        (await reader.list()).map(({ peerId }) => peerId.toString()),
        [other.peerId.toString()],
      )
      assert.equal(await own.remove(), false)
      await own.publish(addresses(peer, 1))
      assert.equal((await reader.lookup(peer.peerId))?.multiaddrs.length, 1)
    })

    it('takes no address of another peer, no address that is too long, and no empty list: nothing is changed then', async () => {
      const published = await own.publish(addresses(peer, 1))
      const tooLong = multiaddr(`/dns4/${'a'.repeat(1_100)}/tcp/1`)
      for (const refused of [[other.at(1)], [...addresses(peer, 2), other.at(1)], [tooLong], []]) {
        await assert.rejects(own.publish(refused), { code: 'USAGE' })
      }
      assert.deepEqual(plain(await reader.lookup(peer.peerId)), plain(published))
      assert.equal(await reader.lookup(other.peerId), undefined)
    })

    it('takes what several peers publish at once', async () => {
      const peers = await newPeers(6)
      await Promise.all(peers.map(async (each) => open(each).publish(addresses(each, 1))))
      const listed = await reader.list()
      assert.deepEqual(listed.map(({ peerId }) => peerId.toString()).sort(), peers.map(({ peerId }) => peerId.toString()).sort())
    })

    it('takes what one peer publishes from several places at once: the highest number stays', async () => {
      const published = await Promise.all([1_000, 2_000, 3_000, 4_000].map(async (port) => open(peer).publish([peer.at(port)])))
      const last = published.reduce((a, b) => (b.block > a.block || (b.block === a.block && b.seq > a.seq) ? b : a))
      assert.deepEqual(plain(await reader.lookup(peer.peerId)), plain(last))
    })

    it('keeps subnets apart', async () => {
      await own.publish(addresses(peer, 1))
      const elsewhere = open(peer, 128_002)
      assert.equal(await elsewhere.lookup(peer.peerId), undefined)
      assert.deepEqual(await elsewhere.list(), [])
      assert.equal(await elsewhere.remove(), false)
      await elsewhere.publish(addresses(peer, 1, 2_000))
      assert.deepEqual((await reader.lookup(peer.peerId))?.multiaddrs.map(String), addresses(peer, 1).map(String))
    })

    it('stops with the signal’s reason, and changes nothing', async () => {
      await own.publish(addresses(peer, 1))
      const reason = new Error('changed my mind')
      const options = { signal: AbortSignal.abort(reason) }
      const rejects = async (work: Promise<unknown>) => assert.rejects(work, (error) => error === reason)
      await rejects(reader.lookup(peer.peerId, options))
      await rejects(reader.list(options))
      await rejects(own.publish(addresses(peer, 1, 2_000), options))
      await rejects(own.remove(options))
      assert.deepEqual((await reader.lookup(peer.peerId))?.multiaddrs.map(String), addresses(peer, 1).map(String))
    })

    it('can be closed twice, and before it was used', async () => {
      const unused = open(await newPeer())
      await unused.close()
      await own.publish(addresses(peer, 1))
      await own.close()
      await own.close()
    })
  })
}

/** A record by its values, to compare; when it was read is another matter. */
function plain(record: ChainRecord | undefined): unknown {
  return record == null
    ? undefined
    : { ...record, readAtMs: undefined, peerId: record.peerId.toString(), multiaddrs: record.multiaddrs.map(String) }
}
