import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { PublishedRecord, PublishPlan } from '../../../../../src/chain/registry.ts'
import { HypertensorSetup } from '../../../../support/hypertensor-setup.ts'
import { HypertensorState, NODE_1, RECORDED, SUBNET } from '../../../../support/hypertensor-state.ts'
import { newPeer } from '../../../../support/keys.ts'
import { OWNER, own } from '../../../../support/owner.ts'
import type { StandInChain } from '../../../../support/stand-in-chain.ts'

const ADDRESS = multiaddr('/ip4/203.0.113.7/tcp/38960')
const BOOTNODE = peerIdFromString(RECORDED.nodes['2']?.bootnode?.peerId ?? '')

describe('publishing for the peers of a node, by the calls that a runtime has', () => {
  const setup = new HypertensorSetup()
  let chain: StandInChain
  let plans: PublishPlan[]

  beforeEach(async () => {
    chain = await setup.chain()
    own(chain.state, 1)
    own(chain.state, 2)
    plans = []
  })

  afterEach(async () => setup.clean())

  async function publish(self = NODE_1, nodeId?: number): Promise<PublishedRecord> {
    const approve = async (plan: PublishPlan): Promise<boolean> => {
      plans.push(plan)
      return true
    }
    return setup.registry(chain, { self }).publish([ADDRESS], { signer: OWNER, approve, nodeId })
  }

  it('changes the address of a bootnode peer: none for a moment, and back', async () => {
    const published = await publish(BOOTNODE)
    assert.equal(published.receipt?.event, 'Network.SubnetNodeUpdateBootnodePeerInfo')
    assert.match(plans[0]?.call ?? '', /^Utility\.batch_all of two Network\.update_bootnode_peer_info, away and back/)
    assert.equal(plans[0]?.from.multiaddr, RECORDED.nodes['2']?.bootnode?.multiaddr)
    const { bootnode_peer_info } = chain.state.get('SubnetNodesData', SUBNET, 2) as { bootnode_peer_info: { multiaddr: Uint8Array } }
    assert.equal(multiaddr(bootnode_peer_info.multiaddr).toString(), `${ADDRESS.toString()}/p2p/${BOOTNODE.toString()}`)
    const again = await publish(BOOTNODE)
    assert.deepEqual([again.receipt, chain.pool.blocks.length], [undefined, 1])
  })

  it('changes the address of a client peer, and knows one that waits', async () => {
    const { peerId } = await newPeer()
    const info = { peer_id: Buffer.from(peerId.toString()), multiaddr: undefined }
    const node = chain.state.get('SubnetNodesData', SUBNET, 1) as object
    chain.state.set('SubnetNodesData', [SUBNET, 1], { ...node, client_peer_info: info })
    chain.state.set('ClientPeerIdSubnetNodeId', [SUBNET, info.peer_id], 1)
    chain.makesBlocks = false
    const first = publish(peerId)
    await chain.handedIn()
    assert.equal((await publish(peerId)).waiting?.nonce, 0)
    chain.nextBlock()
    assert.equal((await first).receipt?.event, 'Network.SubnetNodeUpdateClientPeerInfo')
  })

  it('calls by the newer names where the runtime has these', async () => {
    rename(chain.state, (name) => name.replace(/^update_((?:bootnode_|client_)?peer_info)$/, 'update_node_$1'))
    assert.equal((await publish()).receipt?.event, 'Network.SubnetNodeUpdatePeerInfo')
    assert.match(plans[0]?.call ?? '', /Network\.update_node_peer_info/)
    assert.equal((await publish(BOOTNODE)).receipt?.event, 'Network.SubnetNodeUpdateBootnodePeerInfo')
    assert.match(plans[1]?.call ?? '', /Network\.update_node_bootnode_peer_info/)
  })

  it('names what a runtime lacks, and advises nothing that it lacks too', async () => {
    rename(chain.state, (name) => name.replace(/^update_peer_info$/, 'other'))
    const missing = {
      code: 'USAGE',
      message:
        /^hypertensor-node 1 has no call Network\.update_peer_info or Network\.update_node_peer_info: .* main peer cannot be changed there$/,
      hint: /^peers find it by the DHT/,
    }
    await assert.rejects(publish(), missing)
    const { peerId } = await newPeer()
    await assert.rejects(publish(peerId), missing)
    await assert.rejects(publish(peerId, 1), missing)
    assert.equal(plans.length, 0)
  })

  it('changes nothing on the earlier runtime, and says of each peer why', async () => {
    chain = await setup.chain({ state: new HypertensorState('earlier') })
    for (const [peer, hint] of [
      [NODE_1, /^that runtime keeps no address of a node's main peer; peers find it by the DHT/],
      [BOOTNODE, /^Network\.update_bootnode may do it, with the chain's own tools: this program does not know the form of its address/],
    ] as const) {
      await assert.rejects(publish(peer), { code: 'USAGE', message: /^hypertensor-node \d+ has no call Network\.update_/, hint })
    }
    assert.equal(chain.count('author_submitAndWatchExtrinsic'), 0)
  })

  it('tells before it is agreed to that a node’s owner cannot be read, where a runtime does not tell him', async () => {
    chain.state.changeRuntime(({ pallets }) => {
      const items = pallets.find(({ name }) => name === 'Network')?.storage?.items
      Object.assign(items?.find(({ name }) => name === 'HotkeyOwner') ?? {}, { name: 'Elsewhere' })
    })
    const approve = async (plan: PublishPlan): Promise<boolean> => {
      plans.push(plan)
      return false
    }
    const refused = setup.registry(chain, { self: NODE_1 }).publish([ADDRESS], { signer: OWNER, approve })
    await assert.rejects(refused, /not approved/)
    assert.match(
      plans[0]?.unchecked ?? '',
      /^cannot check that 0x\w+ may change node 1 \(hypertensor-node 1 has no Network\.HotkeyOwner\): .* the fee is lost$/,
    )
  })
})

/** Calls of the pallet get other names. */
function rename(state: HypertensorState, newName: (name: string) => string): void {
  state.changeRuntime(({ pallets, lookup }) => {
    const calls = lookup[pallets.find(({ name }) => name === 'Network')?.calls as number]?.def
    for (const call of calls?.tag === 'variant' ? calls.value : []) {
      call.name = newName(call.name)
    }
  })
}
