import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { HypertensorRegistry } from '../../../../src/chain/drivers/hypertensor.ts'
import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { HypertensorState, NODE_1, SUBNET } from '../../../support/hypertensor-state.ts'
import { newPeer, newPeers, type TestPeer } from '../../../support/keys.ts'
import type { edited } from '../../../support/runtimes.ts'
import type { StandInOptions } from '../../../support/stand-in-chain.ts'

type Metadata = Parameters<Parameters<typeof edited>[1]>[0]

const PROOF_OF_STAKE = 'NetworkRuntimeApi_proof_of_stake'

describe('a runtime of a Hypertensor chain', () => {
  const setup = new HypertensorSetup()

  afterEach(async () => setup.clean())

  async function registryOf(change: (metadata: Metadata) => void, options: StandInOptions & { subnetId?: number } = {}) {
    const { state = new HypertensorState(), subnetId = SUBNET, ...rest } = options
    state.changeRuntime(change)
    const chain = await setup.chain({ state, ...rest })
    return { chain, registry: setup.registry(chain, { subnetId }) }
  }

  describe('that lacks what is needed: an error that names it and the runtime, never nothing', () => {
    const readers: Array<(registry: HypertensorRegistry) => Promise<unknown>> = [
      async (registry) => registry.lookup(NODE_1),
      async (registry) => registry.list(),
      async (registry) => registry.describe(NODE_1),
    ]

    for (const map of ['SubnetsData', 'SubnetNodesData', 'RegisteredSubnetNodesData', 'SubnetBootnodes']) {
      it(`the map ${map}, in a subnet with nodes and in one without`, async () => {
        for (const state of [new HypertensorState(), HypertensorState.empty()]) {
          const { registry } = await registryOf((metadata) => withoutMap(metadata, map), { state })
          for (const read of readers) {
            await assert.rejects(read(registry), {
              code: 'CHAIN_UNAVAILABLE',
              message: new RegExp(`^chain ws:\\S+: hypertensor-node 1 has no Network\\.${map}, which this program needs$`),
            })
          }
        }
      })
    }

    it('the map of friendly ids, for who gives one', async () => {
      const { registry } = await registryOf((metadata) => withoutMap(metadata, 'FriendlyUidSubnetId'), { subnetId: 1 })
      await assert.rejects(registry.list(), { code: 'CHAIN_UNAVAILABLE', message: /hypertensor-node 1 has no Network.FriendlyUidSubnetId/ })
    })

    it('a peer ID in a node, in a subnet with nodes and in one without', async () => {
      for (const state of [new HypertensorState(), HypertensorState.empty()]) {
        const { registry } = await registryOf((metadata) => renameField(metadata, 'peer_id', 'who'), { state })
        for (const read of readers) {
          await assert.rejects(read(registry), {
            code: 'CHAIN_UNAVAILABLE',
            message:
              /the layout of Network\.SubnetNodesData in hypertensor-node 1 is unknown: no field .* \(its fields: id, hotkey, peer_info, /,
          })
        }
      }
    })

    it('bootnodes that are addresses or pairs', async () => {
      const { registry } = await registryOf((metadata) => {
        const map = mapsOf(metadata).find(({ name }) => name === 'SubnetBootnodes')
        assert.ok(map?.type.tag === 'map')
        map.type.value.value = map.type.value.key
        map.fallback = '0x00000000'
      })
      await assert.rejects(registry.bootnodes(), {
        code: 'CHAIN_UNAVAILABLE',
        message: /the layout of Network\.SubnetBootnodes in .* is unknown/,
      })
    })

    it('metadata that hold together', async () => {
      const { registry } = await registryOf((metadata) => {
        const map = mapsOf(metadata).find(({ name }) => name === 'SubnetBootnodes')
        assert.ok(map?.type.tag === 'map')
        map.type.value.value = map.type.value.key
      })
      await assert.rejects(registry.bootnodes(), {
        code: 'CHAIN_UNAVAILABLE',
        message: /contradict themselves in Network\.SubnetBootnodes/,
      })
    })

    it('the call for the stake', async () => {
      const { registry, chain } = await registryOf((metadata) => void methodsOf(metadata).splice(0))
      await assert.rejects(registry.isRegistered(NODE_1, 'idle'), {
        code: 'CHAIN_UNAVAILABLE',
        message: /hypertensor-node 1 has no runtime call NetworkRuntimeApi\.proof_of_stake, which this program needs$/,
      })
      assert.equal(chain.count(PROOF_OF_STAKE), 0)
    })
  })

  it('that lacks maps from peer to node: a peer is found among all', async () => {
    for (const map of ['PeerIdSubnetNodeId', 'ClientPeerIdSubnetNodeId']) {
      const { registry } = await registryOf((metadata) => withoutMap(metadata, map))
      const { role, nodeId, multiaddrs } = await registry.lookup(NODE_1)
      assert.deepEqual([role, nodeId, multiaddrs.length], ['main', 1, 1])
    }
  })

  it('that has no overwatch nodes: there are none', async () => {
    const { registry } = await registryOf((metadata) => withoutMap(metadata, 'PeerIdOverwatchNodeId'))
    assert.equal((await registry.lookup(NODE_1)).role, 'main')
    assert.equal((await registry.list()).records.length, 5)
  })

  describe('is asked for the stake by its own arguments', () => {
    it('with none for what is new and may be none', async () => {
      const { registry } = await registryOf((metadata) => {
        const inputs = inputsOf(metadata)
        inputs.splice(1, 0, { name: 'max_age', type: inputs.at(-1)?.type ?? 0 })
      })
      assert.equal((await registry.isRegistered(NODE_1, 'validator')).registered, true)
      assert.equal((await registry.isRegistered((await newPeer()).peerId, 'registered')).registered, false)
    })

    for (const [what, change, says] of [
      ['needs another one', (inputs: Inputs) => void inputs.push({ name: 'era', type: inputs[0]?.type ?? 0 }), /takes era too/],
      ['names one otherwise', (inputs: Inputs) => Object.assign(inputs[2] ?? {}, { name: 'class' }), /takes no min_class/],
      [
        'takes another kind',
        (inputs: Inputs) => Object.assign(inputs[1] ?? {}, { type: inputs[0]?.type }),
        /takes another kind of peer_id/,
      ],
    ] as const) {
      it(`or not at all where it ${what}`, async () => {
        const { registry, chain } = await registryOf((metadata) => void change(inputsOf(metadata)))
        await assert.rejects(registry.isRegistered(NODE_1, 'idle'), { code: 'CHAIN_UNAVAILABLE', message: says })
        assert.equal(chain.count(PROOF_OF_STAKE), 0)
      })
    }

    it('also when they changed a moment ago', async () => {
      for (const [before, after] of [
        ['v3', 'earlier'],
        ['earlier', 'v3'],
      ] as const) {
        const chain = await setup.chain({ state: new HypertensorState(before) })
        const registry = setup.registry(chain, { options: { blockMs: 60_000 } })
        assert.equal((await registry.isRegistered(NODE_1, 'idle')).registered, true)
        chain.state.become(after)
        assert.equal((await registry.isRegistered(NODE_1, 'validator')).registered, true)
        assert.equal((await registry.isRegistered((await newPeer()).peerId, 'registered')).registered, false)
      }
    })

    it('though metadata of version 14 were kept', async () => {
      const chain = await setup.chain({ without: ['network_proofOfStake'] })
      const kept = await setup.kept()
      await setup.registry(chain, kept).bootnodes()
      const [name = ''] = await readdir(kept.cacheFolder)
      await writeFile(join(kept.cacheFolder, name), Buffer.from(chain.state.metadata14.slice(2), 'hex'))
      assert.equal((await setup.registry(chain, kept).isRegistered(NODE_1, 'idle')).registered, true)
      chain.resetCounts()
      await setup.registry(chain, kept).bootnodes()
      assert.equal(chain.count('Metadata_metadata_at_version'), 0)
    })

    it('and where neither it nor the node can be asked, that is said', async () => {
      const registry = setup.registry(await setup.chain({ without: ['network_proofOfStake', 'state_call'] }))
      assert.equal((await registry.lookup(NODE_1)).known, true)
      await assert.rejects(registry.isRegistered(NODE_1, 'idle'), {
        code: 'CHAIN_UNAVAILABLE',
        message: /it has neither network_proofOfStake nor state_call with metadata of version 15$/,
      })
    })

    it('or by the method of the node where the runtime has no metadata of version 15', async () => {
      const state = new HypertensorState()
      state.runtimeVersion = { ...state.runtimeVersion, apis: [['0x37e397fc7c91f5e4', 1]] }
      const chain = await setup.chain({ state })
      assert.equal((await setup.registry(chain).isRegistered(NODE_1, 'idle')).registered, true)
      assert.deepEqual([chain.count('state_getMetadata'), chain.count('network_proofOfStake'), chain.count(PROOF_OF_STAKE)], [1, 1, 0])
    })
  })

  describe('of the earlier kind, with one address for three peers', () => {
    let peers: [TestPeer, TestPeer, TestPeer]
    let state: HypertensorState
    let id: number

    beforeEach(async () => {
      peers = (await newPeers(3)) as typeof peers
      state = HypertensorState.empty('earlier')
      const [main, bootnode] = peers
      id = state.setNode(main.peerId.toString(), undefined, { bootnode: [bootnode.peerId.toString(), undefined] })
    })

    async function read(bootnode: Uint8Array): Promise<string[][]> {
      state.set('SubnetNodesData', [SUBNET, id], { ...(state.get('SubnetNodesData', SUBNET, id) as object), bootnode })
      const registry = setup.registry(await setup.chain({ state }))
      return (await registry.list()).records.map(({ multiaddrs }) => multiaddrs.map(String))
    }

    it('has no peer where the ID is empty', async () => {
      assert.deepEqual(await read(Buffer.alloc(0)), [[], []])
    })

    it('gives it to the peer that it names, be it binary or text', async () => {
      const [main, bootnode] = peers
      assert.deepEqual(await read(bootnode.at(1).bytes), [[], [bootnode.at(1).toString()]])
      assert.deepEqual(await read(Buffer.from(bootnode.at(2).toString())), [[], [bootnode.at(2).toString()]])
      assert.deepEqual(await read(Buffer.from(main.at(3).toString())), [[main.at(3).toString()], []])
    })

    it('gives it to nobody where it names another, or none, and says so', async () => {
      const other = peers[2].at(1)
      const nameless = Buffer.from('/ip4/10.0.0.1/tcp/1')
      for (const bytes of [other.bytes, Buffer.from(other.toString()), nameless, Buffer.from('/nonsense'), Buffer.alloc(2_000, 4)]) {
        assert.deepEqual(await read(bytes), [[], []])
      }
      assert.equal(
        setup.logged.filter((line) => line.includes(`not an address of its peers, but of ${peers[2].peerId.toString()}`)).length,
        2,
      )
    })

    it('names bootnodes by address alone, or by peer ID too: each once', async () => {
      const [main, bootnode, client] = peers
      state.set('SubnetBootnodes', [SUBNET], [bootnode.at(1).bytes, Buffer.from(client.at(2).toString()), Buffer.from('none')])
      state.set('SubnetBootnodesV2', [SUBNET], [[Buffer.from(client.peerId.toString()), client.at(3).bytes]])
      const registry = setup.registry(await setup.chain({ state }))
      const found = (await registry.bootnodes()).records.map(({ peerId, multiaddrs }) => [peerId.toString(), ...multiaddrs.map(String)])
      assert.deepEqual(found.sort(), [bootnode.at(1), client.at(2)].map((at) => [at.getComponents().at(-1)?.value, at.toString()]).sort())
      assert.deepEqual((await registry.lookup(bootnode.peerId)).multiaddrs.map(String), [bootnode.at(1).toString()])
      assert.equal((await registry.lookup(bootnode.peerId)).nodeId, id)
      assert.deepEqual((await registry.lookup(main.peerId)).multiaddrs, [])
    })
  })
})

function mapsOf({ pallets }: Metadata) {
  return pallets.find(({ name }) => name === 'Network')?.storage?.items ?? []
}

function withoutMap(metadata: Metadata, name: string): void {
  const maps = mapsOf(metadata)
  maps.splice(
    maps.findIndex((map) => map.name === name),
    1,
  )
}

function renameField({ lookup }: Metadata, from: string, to: string): void {
  for (const { def } of lookup) {
    for (const field of def.tag === 'composite' ? def.value : []) {
      field.name = field.name === from ? to : field.name
    }
  }
}

/** Metadata of version 14 have none. */
function methodsOf(metadata: Metadata) {
  return 'apis' in metadata ? (metadata.apis.find(({ name }) => name === 'NetworkRuntimeApi')?.methods ?? []) : []
}

type Inputs = Array<{ name: string; type: number }>

function inputsOf(metadata: Metadata): Inputs {
  return methodsOf(metadata).find(({ name }) => name === 'proof_of_stake')?.inputs ?? []
}
