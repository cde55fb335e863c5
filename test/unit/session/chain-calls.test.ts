import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import type { ChainDescription, ChainRegistry, Freshness, Registration } from '../../../src/chain/registry.ts'
import { ChainCalls } from '../../../src/session/chain-calls.ts'
import { newPeer } from '../../support/keys.ts'

const FRESH: Freshness = { block: 20, stale: false, readAtMs: 2_000 }
const OLD: Freshness = { block: 10, stale: true, readAtMs: 1_000 }
const OLDER: Freshness = { block: 5, stale: true, readAtMs: 500 }
const ACCOUNTS = { friendlyId: undefined, hotkey: undefined, coldkey: undefined }

describe('what the chain knows of a peer', () => {
  let peerId: PeerId

  before(async () => {
    peerId = (await newPeer()).peerId
  })

  async function shown(described: Freshness, asked: Freshness): Promise<Freshness> {
    const node = { known: true, verified: false, seq: 0n, role: 'main', nodeId: 1, nodeClass: 'validator' } as const
    const description: ChainDescription = { ...node, peerId, multiaddrs: [], subnetId: 128_001, ...ACCOUNTS, ...described }
    const registration: Registration = { peerId, registered: true, ...asked }
    const registry = { describe: async () => description, isRegistered: async () => registration } as Partial<ChainRegistry>
    const { block, stale, readAtMs } = await new ChainCalls({
      registry: () => registry as ChainRegistry,
      aliases: () => assert.fail('no alias was named'),
      self: () => peerId,
      settings: { subnetId: 128_001, minClass: 'registered' },
      ownAddresses: () => [],
    }).show(undefined)
    return { block, stale, readAtMs }
  }

  it('is as old as the oldest part of it: whether it would be let in is asked apart from the rest', async () => {
    for (const [described, asked, expected] of [
      [FRESH, FRESH, FRESH],
      [FRESH, OLD, OLD],
      [OLD, FRESH, OLD],
      [OLD, OLDER, OLDER],
      [OLDER, OLD, OLDER],
    ] as const) {
      assert.deepEqual(await shown(described, asked), expected)
    }
  })
})
