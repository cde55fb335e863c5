import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { HypertensorRegistry } from '../../../../../src/chain/drivers/hypertensor.ts'
import { AccountKey } from '../../../../../src/chain/hypertensor/writing/account-key.ts'
import type { ChainSigner, PublishOptions, PublishPlan } from '../../../../../src/chain/registry.ts'
import { HypertensorSetup } from '../../../../support/hypertensor-setup.ts'
import { NODE_1, RECORDED, SUBNET } from '../../../../support/hypertensor-state.ts'
import { newPeer } from '../../../../support/keys.ts'
import { HOTKEY, OWNER, own, setHotkey } from '../../../../support/owner.ts'
import type { StandInChain, StandInOptions } from '../../../../support/stand-in-chain.ts'

const ADDRESS = multiaddr('/ip4/203.0.113.7/tcp/38960')
const OTHER = multiaddr('/ip4/203.0.113.8/tcp/38960')
const FULL = multiaddr(`${ADDRESS.toString()}/p2p/${NODE_1.toString()}`)
const STRANGER = AccountKey.parse('1'.repeat(64))
const PLANCK = 10n ** 15n

describe('what the chain would refuse for a fee', () => {
  const setup = new HypertensorSetup()
  let chain: StandInChain
  let registry: HypertensorRegistry
  let plans: PublishPlan[]

  beforeEach(async () => open())

  afterEach(async () => setup.clean())

  async function open(options?: StandInOptions): Promise<void> {
    chain = await setup.chain(options)
    own(chain.state, 1)
    registry = setup.registry(chain, { self: NODE_1 })
    plans = []
  }

  async function publish(address: Multiaddr = ADDRESS, options: PublishOptions = {}): ReturnType<HypertensorRegistry['publish']> {
    const approve = async (plan: PublishPlan): Promise<boolean> => {
      plans.push(plan)
      return true
    }
    return registry.publish([address], { signer: OWNER, approve, ...options })
  }

  /** Not even asked about, and nothing handed in. */
  async function refused(message: RegExp, hint?: RegExp, options: PublishOptions = {}): Promise<void> {
    await assert.rejects(publish(ADDRESS, options), { code: 'USAGE', message, ...(hint == null ? {} : { hint }) })
    assert.deepEqual([plans.length, chain.count('author_submitAndWatchExtrinsic'), chain.pool.blocks.length], [0, 0, 0])
  }

  it('is refused free of charge: a key that does not own the node, which is told whose it is', async () => {
    await refused(
      new RegExp(`^${STRANGER.account} is not the owner of node 1 of subnet ${SUBNET}: its coldkey is ${OWNER.account}.*nothing was sent$`),
      new RegExp(`--owner-key FILE .* ${OWNER.account}`),
      { signer: STRANGER },
    )
  })

  it('is refused free of charge: the hotkey, which is told that the coldkey may', async () => {
    setHotkey(chain.state, 1, HOTKEY.account)
    own(chain.state, 1)
    await refused(
      new RegExp(`^${HOTKEY.account} is the hotkey of node 1 of .* may not change the node: only its coldkey, ${OWNER.account}, may`),
      /--owner-key FILE/,
      { signer: HOTKEY },
    )
  })

  it('is refused free of charge: a node that nobody owns', async () => {
    const { hotkey } = chain.state.get('SubnetNodesData', SUBNET, 1) as { hotkey: string }
    chain.state.storage.delete(chain.state.key('HotkeyOwner', hotkey))
    await refused(/^the chain knows no owner of node 1 .* nothing was sent$/)
  })

  for (const [what, balance, spendable] of [
    ['nothing', { free: 0n }, 0n],
    ['less than the fee', { free: PLANCK }, PLANCK - 500n],
    ['what is frozen', { free: 10n * PLANCK, frozen: 9n * PLANCK }, PLANCK],
    ['what is frozen, some of it reserved', { free: 10n * PLANCK, frozen: 11n * PLANCK, reserved: 2n * PLANCK }, PLANCK],
    ['the existential deposit', { free: 1_250_000_000_000_000n + 499n }, 1_250_000_000_000_000n - 1n],
  ] as const) {
    it(`is refused free of charge: an account that has ${what}`, async () => {
      chain.pool.setBalance(OWNER.account, balance)
      await refused(
        new RegExp(
          `^the balance of ${OWNER.account} .*: it can spend ${spendable} planck, and the fee is about ${chain.pool.fee} planck; nothing was sent$`,
        ),
        new RegExp(`^add ${chain.pool.fee - spendable} planck;`),
      )
    })
  }

  it('is done with a balance that is just enough', async () => {
    chain.pool.setBalance(OWNER.account, { free: chain.pool.fee + 500n })
    assert.notEqual((await publish()).receipt, undefined)
  })

  it('is refused free of charge: an account without anything, where the endpoint does not tell the fee', async () => {
    await open({ without: ['payment_queryInfo'] })
    chain.pool.setBalance(OWNER.account, { free: 500n })
    await refused(/it can spend 0 planck; nothing was sent$/)
  })

  for (const [map, what] of [
    ['BootnodePeerIdSubnetNodeId', 'the bootnode peer of node 3'],
    ['ClientPeerIdSubnetNodeId', 'the client peer of node 3'],
    ['PeerIdOverwatchNodeId', 'the peer of overwatch node 3'],
  ] as const) {
    it(`is refused free of charge: a peer ID that is also ${what}`, async () => {
      chain.state.set(map, [SUBNET, Buffer.from(NODE_1.toString())], 3)
      await refused(new RegExp(`^${NODE_1.toString()} is also ${what} .*PeerIdExist.*; nothing was sent$`))
    })
  }

  it('is refused free of charge: another node for a peer of an overwatch node, or of a node', async () => {
    const { peerId } = await newPeer()
    registry = setup.registry(chain, { self: peerId })
    chain.state.set('PeerIdOverwatchNodeId', [SUBNET, Buffer.from(peerId.toString())], 4)
    await refused(/is the peer of overwatch node 4 .* stores no address for such a peer/, undefined, { nodeId: 1 })
    await refused(/is the peer of overwatch node 4/)
    chain.state.storage.delete(chain.state.key('PeerIdOverwatchNodeId', SUBNET, Buffer.from(peerId.toString())))
    chain.state.set('ClientPeerIdSubnetNodeId', [SUBNET, Buffer.from(peerId.toString())], 2)
    await refused(/is the client peer of node 2 already: no other node can have it/, /leave --node out/, { nodeId: 1 })
  })

  it('is not looked for in a subnet that is none', async () => {
    registry = setup.registry(chain, { self: NODE_1, subnetId: 128_999 })
    await refused(/there is no subnet 128999/)
  })

  it('says of a bootnode that the subnet names who can change it', async () => {
    const [[bootnode = '']] = RECORDED.subnetBootnodes as [[string, string]]
    registry = setup.registry(chain, { self: peerIdFromString(bootnode) })
    await refused(/is a bootnode that the owner of subnet 128001 names, and the peer of no node/, /Network\.update_bootnodes/)
  })

  it('is refused free of charge: an address that another node has, or another peer of the node', async () => {
    for (const [node, whose] of [
      [2, 'node 2'],
      [1, 'another peer of the same node, 1'],
    ] as const) {
      chain.state.set('MultiaddrSubnetNodeId', [SUBNET, FULL.bytes], node)
      await refused(new RegExp(`^${FULL.toString()} is already the address of ${whose}: .*MultiaddrExist.*; nothing was sent$`))
    }
  })

  describe('while a transaction of the account waits', () => {
    async function waiting(
      address: Multiaddr,
      signer: ChainSigner = OWNER,
    ): Promise<{ hash: string; first: ReturnType<typeof publish>; giveUp(): Promise<void> }> {
      chain.makesBlocks = false
      const over = new AbortController()
      const hashes: string[] = []
      const onSent = ({ extrinsicHash }: { extrinsicHash: string }): unknown => hashes.push(extrinsicHash)
      const first = publish(address, { signer, onSent, signal: over.signal })
      await chain.handedIn()
      return {
        hash: hashes[0] ?? '',
        first,
        giveUp: async () => {
          over.abort(new Error('given up'))
          await assert.rejects(first, /given up/)
        },
      }
    }

    it('sends nothing where that does the same, and says which it is', async () => {
      const { hash, giveUp } = await waiting(ADDRESS)
      const again = await publish()
      assert.deepEqual(again.waiting, { extrinsicHash: hash, nonce: 0 })
      assert.deepEqual([again.receipt, again.multiaddrs.map(String)], [undefined, [FULL.toString()]])
      assert.deepEqual([plans.length, chain.pool.waiting.length], [1, 1])
      await giveUp()
    })

    it('sends nothing where that does anything else, and says which it is', async () => {
      const { hash, giveUp } = await waiting(OTHER)
      await assert.rejects(publish(), {
        code: 'USAGE',
        message: new RegExp(`^another transaction of ${OWNER.account}, ${hash}, waits for its block \\(nonce 0\\): nothing was sent$`),
        hint: /run the command again once it is in a block/,
      })
      assert.deepEqual([plans.length, chain.pool.waiting.length], [1, 1])
      await giveUp()
    })

    it('does not say that the chain has the address already where that puts another in its place', async () => {
      chain.state.setNode(NODE_1.toString(), FULL)
      const { hash, giveUp } = await waiting(OTHER)
      await assert.rejects(publish(), {
        code: 'USAGE',
        message: new RegExp(`^another transaction of ${OWNER.account}, ${hash}, waits for its block`),
      })
      assert.equal(chain.pool.waiting.length, 1)
      await giveUp()
    })

    it('knows of it by the nonce where the pool cannot be read', async () => {
      const { giveUp } = await waiting(ADDRESS)
      chain.answer('author_pendingExtrinsics', () => {
        throw new Error('unsafe')
      })
      await assert.rejects(publish(), {
        code: 'USAGE',
        message: /another transaction of 0x\w+ waits for its block \(nonce 0\): nothing was sent/,
      })
      await giveUp()
    })

    it('does not mind those of others', async () => {
      own(chain.state, 2, STRANGER.account)
      const { peerId } = RECORDED.nodes['2'] as { peerId: string }
      registry = setup.registry(chain, { self: peerIdFromString(peerId) })
      const { first } = await waiting(ADDRESS, STRANGER)
      registry = setup.registry(chain, { self: NODE_1 })
      chain.makesBlocks = true
      const both = await Promise.all([first, publish()])
      assert.ok(both.every(({ receipt }) => receipt != null))
    })
  })

  for (const [what, change, message] of [
    ['the owner', () => own(chain.state, 1, STRANGER.account), /is not the owner of node 1/],
    ['the balance', () => chain.pool.setBalance(OWNER.account, { free: 0n }), /does not cover the fee/],
    ['the use of the address', () => chain.state.set('MultiaddrSubnetNodeId', [SUBNET, FULL.bytes], 2), /is already the address of node 2/],
    [
      'the use of the peer ID',
      () => chain.state.set('PeerIdOverwatchNodeId', [SUBNET, Buffer.from(NODE_1.toString())], 3),
      /is also the peer of overwatch node 3/,
    ],
    [
      'the node itself',
      () => chain.state.setNode(NODE_1.toString(), OTHER),
      /node 1 changed on the chain in the meantime: nothing was sent/,
    ],
  ] as const) {
    it(`is refused free of charge where ${what} changed while it was being agreed to`, async () => {
      const approve = async (): Promise<boolean> => {
        change()
        return true
      }
      await refused(message, undefined, { approve })
    })
  }

  it('is read in few calls: three of storage to see, and one to look again', async () => {
    await registry.lookup(NODE_1)
    chain.resetCounts()
    const approve = async (): Promise<boolean> => {
      // of storage: peer and account, then the node, then its owner
      assert.deepEqual([chain.count('state_queryStorageAt'), chain.count('author_pendingExtrinsics')], [3, 1])
      chain.resetCounts()
      return true
    }
    await publish(ADDRESS, { approve })
    assert.equal(chain.count('author_pendingExtrinsics'), 1)
  })
})
