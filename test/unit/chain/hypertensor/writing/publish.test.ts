import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import type { HypertensorInit } from '../../../../../src/chain/drivers/hypertensor.ts'
import type { PublishOptions, PublishPlan } from '../../../../../src/chain/registry.ts'
import { HypertensorSetup } from '../../../../support/hypertensor-setup.ts'
import { NODE_1, RECORDED, SUBNET } from '../../../../support/hypertensor-state.ts'
import { newPeer } from '../../../../support/keys.ts'
import { OWNER, own } from '../../../../support/owner.ts'
import type { StandInChain, StandInOptions } from '../../../../support/stand-in-chain.ts'

const ADDRESS = multiaddr('/ip4/203.0.113.7/tcp/38960')
const PUBLISHED = `${ADDRESS.toString()}/p2p/${NODE_1.toString()}`
const BEFORE = RECORDED.nodes['1']?.multiaddr

describe('publishing to a Hypertensor chain', () => {
  const setup = new HypertensorSetup()

  afterEach(async () => setup.clean())

  async function ownedChain(options?: StandInOptions): Promise<StandInChain> {
    const chain = await setup.chain(options)
    own(chain.state, 1)
    return chain
  }

  function registryOf(chain: StandInChain, init: Partial<HypertensorInit> = {}): ReturnType<HypertensorSetup['registry']> {
    return setup.registry(chain, { self: NODE_1, ...init })
  }

  function agreed(plans: PublishPlan[] = [], options: PublishOptions = {}): PublishOptions {
    const approve = async (plan: PublishPlan): Promise<boolean> => {
      plans.push(plan)
      return true
    }
    return { signer: OWNER, approve, ...options }
  }

  it('puts the address in, away from the peer ID and back in one transaction, and says what it did', async () => {
    const chain = await ownedChain()
    const registry = registryOf(chain)
    const plans: PublishPlan[] = []
    const sent: string[] = []
    const published = await registry.publish([ADDRESS], agreed(plans, { onSent: ({ extrinsicHash }) => sent.push(extrinsicHash) }))
    const block = chain.pool.blocks[0]
    assert.deepEqual(published.multiaddrs.map(String), [PUBLISHED])
    assert.equal(published.block, block?.number)
    assert.deepEqual(published.receipt, {
      blockHash: block?.hash,
      extrinsicHash: sent[0],
      event: 'Network.SubnetNodeUpdatePeerInfo',
      feePlanck: chain.pool.fee,
    })
    assert.deepEqual((await registry.lookup(NODE_1))?.multiaddrs.map(String), [PUBLISHED])
    assert.deepEqual(plans, [
      {
        endpoint: chain.url,
        subnetId: SUBNET,
        nodeId: 1,
        from: { peerId: NODE_1.toString(), multiaddr: BEFORE },
        to: { peerId: NODE_1.toString(), multiaddr: PUBLISHED },
        given: undefined,
        refused: [],
        left: [],
        account: OWNER.account,
        nonce: 0,
        call: 'Utility.batch_all of two Network.update_peer_info, away and back: the chain accepts no new address under the same peer ID',
        feePlanck: chain.pool.fee,
        token: { symbol: 'TENSOR', decimals: 18 },
        unchecked: undefined,
      },
    ])
    assert.equal(chain.pool.calls.length, 1)
  })

  it('sends nothing when the chain has the address already', async () => {
    const chain = await ownedChain()
    const published = await registryOf(chain).publish([multiaddr(BEFORE)], agreed())
    assert.deepEqual(published.multiaddrs.map(String), [BEFORE])
    assert.equal(published.receipt, undefined)
    assert.equal(chain.pool.blocks.length, 0)
  })

  it('sends nothing that was not agreed to', async () => {
    const chain = await ownedChain()
    const refused = registryOf(chain).publish([ADDRESS], agreed([], { approve: async () => false }))
    await assert.rejects(refused, { code: 'USAGE', message: /not approved/ })
    await assert.rejects(registryOf(chain).publish([ADDRESS], { signer: OWNER }), { code: 'USAGE', message: /not approved/ })
    assert.equal(chain.count('author_submitAndWatchExtrinsic'), 0)
  })

  it('gives a node another peer, in one call; one that has a node already keeps it', async () => {
    const chain = await ownedChain()
    const peer = await newPeer()
    const registry = registryOf(chain, { self: peer.peerId })
    await assert.rejects(registry.publish([ADDRESS], agreed()), { code: 'USAGE', message: /the peer of no node/, hint: /--node N/ })
    const plans: PublishPlan[] = []
    await registry.publish([ADDRESS], agreed(plans, { nodeId: 1 }))
    assert.equal(plans[0]?.call, 'Network.update_peer_info')
    assert.equal(plans[0]?.from.peerId, NODE_1.toString())
    assert.equal(chain.state.nodeOf(peer.peerId.toString()), 1)
    await assert.rejects(registry.publish([peer.at(2)], agreed([], { nodeId: 2 })), { code: 'USAGE', message: /peer of node 1 already/ })
    await assert.rejects(registryOf(chain).publish([ADDRESS], agreed([], { nodeId: 77 })), { message: /no node 77/ })
  })

  it('names the error of the chain for a rule that is not known here, and says that the fee is gone', async () => {
    const chain = await ownedChain()
    chain.makesBlocks = false
    const refused = registryOf(chain).publish([ADDRESS], agreed())
    await Promise.all([
      assertRefused(),
      chain.handedIn().then(() => {
        own(chain.state, 1, '0x25451A4de12dcCc2D166922fA938E900fCc4ED24')
        chain.nextBlock()
      }),
    ])
    async function assertRefused(): Promise<void> {
      await assert.rejects(refused, {
        code: 'USAGE',
        message:
          /^the chain refused transaction 0x[0-9a-f]{64} in block \d+: Network\.NotKeyOwner \(Not the key owner\); nothing was changed, and the fee was taken$/,
        hint: /the chain changed before the transaction ran/,
      })
    }
    assert.equal(chain.state.nodeOf(NODE_1.toString()), 1)
  })

  it('does not sign when another transaction of the account came first', async () => {
    const chain = await ownedChain()
    const approve = async (): Promise<boolean> => {
      chain.pool.setNonce(OWNER.account, 5)
      return true
    }
    const refused = registryOf(chain).publish([ADDRESS], agreed([], { approve }))
    await assert.rejects(refused, { code: 'USAGE', message: /another transaction .*nonce 5, not 0\): nothing was sent/ })
    assert.equal(chain.count('author_submitAndWatchExtrinsic'), 0)
  })

  it('passes on why the pool does not take it', async () => {
    const chain = await ownedChain()
    const nonces = [3, 3]
    chain.answer('system_accountNextIndex', () => nonces.shift() ?? 3)
    const refused = registryOf(chain).publish([ADDRESS], agreed())
    await assert.rejects(refused, {
      code: 'USAGE',
      message: /did not accept the transaction: .*Invalid Transaction: Transaction will be valid in the future/,
    })
    assert.equal(chain.pool.blocks.length, 0)
  })

  it('does not sign what was shown for another runtime', async () => {
    for (const upgrade of [
      (chain: StandInChain) => chain.state.upgrade(),
      ({ state }: StandInChain) => (state.runtimeVersion = { ...state.runtimeVersion, specVersion: 2 }),
    ]) {
      const chain = await ownedChain()
      const approve = async (): Promise<boolean> => {
        upgrade(chain)
        return true
      }
      const refused = registryOf(chain).publish([ADDRESS], agreed([], { approve }))
      await assert.rejects(refused, { code: 'USAGE', message: /runtime changed in the meantime: nothing was sent/ })
      assert.equal(chain.count('author_submitAndWatchExtrinsic'), 0)
    }
  })

  it('makes no call of which a field has another name', async () => {
    const chain = await ownedChain()
    chain.state.upgrade()
    const refused = registryOf(chain).publish([ADDRESS], agreed())
    await assert.rejects(refused, { code: 'USAGE', message: /layout of the nodes on this chain is unknown|takes \(subnet_id/ })
  })

  it('does with what an endpoint has: no watching, no fee, no account index, no final blocks', async () => {
    const without = [
      'author_submitAndWatchExtrinsic',
      'payment_queryInfo',
      'system_accountNextIndex',
      'system_properties',
      'chain_getFinalizedHead',
    ]
    const chain = await ownedChain({ without })
    const plans: PublishPlan[] = []
    const published = await registryOf(chain).publish([ADDRESS], agreed(plans))
    assert.deepEqual(published.multiaddrs.map(String), [PUBLISHED])
    assert.equal(chain.count('author_submitExtrinsic'), 1)
    assert.deepEqual([plans[0]?.feePlanck, plans[0]?.token], [undefined, undefined])
  })

  it('says so where an endpoint takes no transactions', async () => {
    const chain = await ownedChain({ without: ['author_submitAndWatchExtrinsic', 'author_submitExtrinsic'] })
    await assert.rejects(registryOf(chain).publish([ADDRESS], agreed()), { code: 'USAGE', message: /accepts no transactions/ })
  })

  it('finds its block after the connection was lost, without handing it in again', async () => {
    const chain = await ownedChain()
    chain.makesBlocks = false
    const publishing = registryOf(chain).publish([ADDRESS], agreed())
    await chain.handedIn()
    chain.drop()
    chain.nextBlock()
    const published = await publishing
    assert.equal(published.receipt?.event, 'Network.SubnetNodeUpdatePeerInfo')
    assert.equal(chain.count('author_submitAndWatchExtrinsic') + chain.count('author_submitExtrinsic'), 1)
  })

  it('says that it may have been included when the endpoint is gone, and does not try again', async () => {
    const chain = await ownedChain()
    chain.makesBlocks = false
    const registry = registryOf(chain, { options: { inclusionMs: 600 } })
    const publishing = registry.publish([ADDRESS], agreed())
    await chain.handedIn()
    await chain.stop()
    await assert.rejects(publishing, {
      code: 'CHAIN_UNAVAILABLE',
      message: /transaction 0x[0-9a-f]{64} may have been included$/,
      hint: /before you send again/,
    })
    assert.equal(chain.count('author_submitAndWatchExtrinsic'), 1)
  })

  it('gives up when it is included in no block, and says so', async () => {
    const chain = await ownedChain()
    chain.makesBlocks = false
    const publishing = registryOf(chain, { options: { inclusionMs: 300 } }).publish([ADDRESS], agreed())
    await assert.rejects(publishing, { code: 'CHAIN_UNAVAILABLE', message: /may have been included/ })
  })

  it('ends when it is told to, and may be closed while it waits', async () => {
    const chain = await ownedChain()
    chain.makesBlocks = false
    const giveUp = new AbortController()
    const publishing = registryOf(chain).publish([ADDRESS], agreed([], { signal: giveUp.signal }))
    await chain.handedIn()
    giveUp.abort(new Error('given up'))
    await assert.rejects(publishing, { message: /given up: transaction 0x.* may have been included/ })
  })
})
