import assert from 'node:assert/strict'
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { peerIdFromString } from '@libp2p/peer-id'
import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { NODE_1, recordedPeers } from '../../../support/hypertensor-state.ts'
import { newPeer } from '../../../support/keys.ts'
import { edited, RUNTIMES } from '../../../support/runtimes.ts'
import type { StandInChain } from '../../../support/stand-in-chain.ts'

const METADATA = 'Metadata_metadata_at_version'
const { metadata: RECORDED_METADATA } = RUNTIMES.v3

describe('the metadata of a Hypertensor chain', () => {
  const setup = new HypertensorSetup()
  let chain: StandInChain
  let kept: Awaited<ReturnType<typeof setup.kept>>

  beforeEach(async () => {
    chain = await setup.chain()
    kept = await setup.kept()
  })

  afterEach(async () => setup.clean())

  it('are fetched once, and kept whole in the home for who starts later', async () => {
    await setup.registry(chain, kept).lookup(NODE_1)
    assert.equal(chain.count(METADATA), 1)
    const [name = '', ...others] = await readdir(kept.cacheFolder)
    assert.deepEqual(others, [])
    const bytes = await readFile(join(kept.cacheFolder, name))
    assert.ok(`0x${bytes.toString('hex')}`.endsWith(RUNTIMES.v3.metadata.slice(2)))
    assert.deepEqual([(await stat(kept.cacheFolder)).mode & 0o777, (await stat(join(kept.cacheFolder, name))).mode & 0o777], [0o700, 0o600])
    chain.resetCounts()
    const later = setup.registry(chain, kept)
    assert.equal((await later.lookup(NODE_1))?.multiaddrs.length, 1)
    assert.equal((await later.list()).records.length, 5)
    assert.equal(chain.count(METADATA), 0)
  })

  it('are fetched once for all who ask at the same time', async () => {
    const registry = setup.registry(chain)
    await Promise.all([registry.lookup(NODE_1), registry.list(), registry.bootnodes(), registry.lookup((await newPeer()).peerId)])
    assert.deepEqual([chain.count(METADATA), chain.connections], [1, 1])
  })

  it('are those of another chain for another genesis, be the runtime the same', async () => {
    await setup.registry(chain, kept).lookup(NODE_1)
    const other = await setup.chain()
    other.state.genesisHash = `0x${'77'.repeat(32)}`
    await setup.registry(other, kept).lookup(NODE_1)
    assert.equal(other.count(METADATA), 1)
    assert.equal((await readdir(kept.cacheFolder)).length, 2)
  })

  it('are kept of a few runtimes only', async () => {
    for (let version = 1; version <= 10; version++) {
      chain.state.runtimeVersion.specVersion = 100 + version
      const registry = setup.registry(chain, kept)
      await registry.lookup(NODE_1)
      // an open one may notice the next runtime, and keep its metadata at the same time
      await registry.close()
    }
    assert.equal((await readdir(kept.cacheFolder)).length, 8)
  })

  it('are fetched again where what was kept is broken', async () => {
    await setup.registry(chain, kept).lookup(NODE_1)
    const [name = ''] = await readdir(kept.cacheFolder)
    for (const spoil of [async (file: string) => truncate(file, 1_000), async (file: string) => writeFile(file, 'nonsense')]) {
      await spoil(join(kept.cacheFolder, name))
      chain.resetCounts()
      assert.equal((await setup.registry(chain, kept).lookup(NODE_1))?.multiaddrs.length, 1)
      assert.equal(chain.count(METADATA), 1)
    }
  })

  it('are fetched again where what was kept is of another layout, though whole', async () => {
    await setup.registry(chain, kept).bootnodes()
    const [name = ''] = await readdir(kept.cacheFolder)
    const other = await setup.chain()
    other.state.upgrade()
    await writeFile(join(kept.cacheFolder, name), Buffer.from(other.state.metadata.slice(2), 'hex'))
    chain.resetCounts()
    assert.equal((await setup.registry(chain, kept).lookup(NODE_1))?.multiaddrs.length, 1)
    assert.equal(chain.count(METADATA), 1)
  })

  it('are used though the home cannot keep them', async () => {
    await writeFile(kept.file, '')
    const registry = setup.registry(chain, { cacheFolder: join(kept.file, 'no folder') })
    assert.equal((await registry.lookup(NODE_1))?.multiaddrs.length, 1)
  })

  for (const blockMs of [0, 60_000]) {
    it(`change in the middle: every answer is of the new layout, looked at ${blockMs === 0 ? 'each time' : 'when it seems odd'}`, async () => {
      const registry = setup.registry(chain, { ...kept, options: { blockMs } })
      const before = (await registry.list()).records
      await registry.lookup(NODE_1)
      chain.state.upgrade()
      const others = await Promise.all([registry.lookup(NODE_1), registry.lookup((await newPeer()).peerId), registry.list()])
      assert.deepEqual([others[0].stale, others[1].known, others[2].records.length], [false, false, before.length])
      for (const [peer, address] of recordedPeers()) {
        const record = await registry.lookup(peerIdFromString(peer))
        assert.deepEqual(record?.multiaddrs.map(String), address == null ? [] : [address], peer)
      }
      assert.equal(chain.count(METADATA), 2)
      assert.equal(chain.connections, 1)
    })
  }

  it('change in the middle, and cannot be had: what was said last is not lost', async () => {
    const registry = setup.registry(chain, { ...kept, options: { blockMs: 0 } })
    const [record, registration] = [await registry.lookup(NODE_1), await registry.isRegistered(NODE_1, 'validator')]
    chain.state.upgrade()
    chain.fault = 'error'
    chain.faulty = [METADATA]
    assert.deepEqual(await registry.lookup(NODE_1), { ...record, stale: true })
    assert.match(registry.state().lastError ?? '', /state_call: Client error/)
    assert.deepEqual(await registry.isRegistered(NODE_1, 'validator'), { ...registration, stale: true })
    chain.fault = undefined
    assert.equal((await registry.lookup(NODE_1))?.stale, false)
  })

  describe('of an endpoint that means no good', () => {
    for (const [what, metadata, says] of [
      ['no metadata', `0x${Buffer.from('nonsense').toString('hex')}`, /chain ws:/],
      ['no hex', '0xzz', /state_call: not hex$/],
      ['too many', `0x${'00'.repeat(5 * 1_024 * 1_024)}`, /state_call: more than 4194304 bytes$/],
      ['of a chain without the pallet', edited(RECORDED_METADATA, ({ pallets }) => void pallets.splice(0)), /no pallet Network/],
      ['with a list of nothing', edited(RECORDED_METADATA, listOfNothing), /a list of items without bytes/],
    ] as const) {
      it(`${what}: an error that says so, soon`, async () => {
        chain.answer('state_call', () => metadata)
        await assert.rejects(setup.registry(chain, kept).lookup(NODE_1), (error: Error & { code: string }) => {
          assert.equal(error.code, 'CHAIN_UNAVAILABLE')
          assert.match(error.message, says)
          return true
        })
        chain.answer('state_call', () => RECORDED_METADATA)
        assert.equal((await setup.registry(chain, kept).lookup(NODE_1))?.multiaddrs.length, 1, 'what was kept does no harm')
      })
    }

    it('values that are not of the layout: an error for one peer, left out of a list', async () => {
      const key = chain.state.key('SubnetNodesData', 128_001, 1)
      for (const value of [`${chain.state.storage.get(key)}00`, '0x', '0xff', `0x${'ff'.repeat(1_000)}`]) {
        chain.state.storage.set(key, value)
        const registry = setup.registry(chain)
        await assert.rejects(registry.lookup(NODE_1), {
          code: 'CHAIN_UNAVAILABLE',
          message: /value of Network.SubnetNodesData does not match the metadata of hypertensor-node 1/,
        })
        assert.equal((await registry.list()).records.length, 4)
      }
      chain.state.storage.set(key, `0x${'00'.repeat(300_000)}`)
      await assert.rejects(setup.registry(chain).lookup(NODE_1), { message: /state_queryStorageAt: more than 262144 bytes/ })
    })

    it('keys that were not asked for, and keys without an end', async () => {
      const registry = setup.registry(chain)
      await registry.bootnodes()
      const prefix = chain.state.key('SubnetNodesData', 128_001)
      let next = 0
      for (const page of [
        () => ['0x00'],
        () => [`${prefix}01000000`, `${prefix}01000000`],
        () => Array.from({ length: 1_001 }, (_, index) => prefix + String(index).padStart(8, '0')),
        () => Array.from({ length: 1_000 }, () => prefix + String(next++).padStart(8, '0')),
        () => 'none',
      ]) {
        chain.answer('state_getKeysPaged', page)
        await assert.rejects(registry.list(), {
          code: 'CHAIN_UNAVAILABLE',
          message: /state_getKeysPaged: (no page of keys|not hex|a key that was not asked for)$|more than 10000 nodes/,
        })
      }
    })
  })
})

/** A node becomes a list of what takes no bytes: five of its bytes would say a billion. */
function listOfNothing({ lookup }: Parameters<Parameters<typeof edited>[1]>[0]): void {
  const nothing = lookup.findIndex(({ def }) => def.tag === 'tuple' && def.value.length === 0)
  const node = lookup.find(({ path }) => path.at(-1) === 'SubnetNode')
  assert.ok(node != null && nothing >= 0)
  node.def = { tag: 'sequence', value: nothing }
}
