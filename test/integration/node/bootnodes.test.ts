import assert from 'node:assert/strict'
import type { ChainRegistry, SubnetNode } from '../../../src/index.ts'
import { HypertensorSetup } from '../../support/hypertensor-setup.ts'
import { SUBNET } from '../../support/hypertensor-state.ts'
import { addressOf, event, heartbeats, Lab } from '../../support/nodes.ts'
import { StandInChain } from '../../support/stand-in-chain.ts'

/** Nothing listens there. */
const GONE = '/ip4/127.0.0.1/tcp/1/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

describe('a node whose user names no bootstrap', function () {
  this.timeout(30_000)
  const lab = new Lab()
  const setup = new HypertensorSetup()
  let chain: StandInChain
  let bootnode: SubnetNode

  before(async () => {
    chain = await StandInChain.start()
  })

  after(async () => chain.stop())

  beforeEach(async () => {
    bootnode = await lab.node()
    nameBootnode(bootnode)
  })

  afterEach(async () => {
    await lab.clean()
    await setup.clean()
  })

  function nameBootnode(node: SubnetNode): void {
    chain.state.setBootnodes([[node.peerId.toString(), (node.multiaddrs[0] ?? assert.fail()).bytes]])
  }

  const onChain = (): { chain: string; subnetId: number } => ({ chain: `hypertensor:${chain.url}`, subnetId: SUBNET })

  async function connects(node: SubnetNode, to: SubnetNode): Promise<void> {
    const connected = event(node, 'peer:connect', ({ peerId }) => peerId === to.peerId.toString())
    await node.start()
    await connected
  }

  it('connects to a bootnode that its chain names', async () => {
    await connects(await lab.idle({ settings: { listen: ['/ip4/127.0.0.1/tcp/0'], ...onChain() } }), bootnode)
  })

  it('asks it for other peers, also where it is a command with a node of its own', async () => {
    const other = await lab.idle({ settings: { listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [addressOf(bootnode)] } })
    const heard = heartbeats(bootnode, other, 1)
    await other.start()
    await heard
    const command = await lab.idle({ settings: onChain() })
    await command.start()
    const { source, multiaddrs } = await command.resolve(other.peerId)
    assert.equal(source, 'neighbour')
    assert.deepEqual(multiaddrs.map(String), [addressOf(other)])
  })

  it('leaves the bootnodes alone where its user named a bootstrap, though that is away', async () => {
    const asked: string[] = []
    const registry = telling(setup.registry(chain), asked)
    const node = await lab.node({ registry, settings: { bootstrap: [GONE] } })
    await node.bootstrapped(AbortSignal.timeout(10_000))
    assert.deepEqual(asked, [])
    assert.deepEqual(node.connections, [])
  })

  it('dials no private address of a bootnode that a stranger may have named', async () => {
    const asked: string[] = []
    const registry = { ...telling(setup.registry(chain), asked), namedOver: 'stranger' } as ChainRegistry
    const node = await lab.node({ registry })
    await node.bootstrapped(AbortSignal.timeout(10_000))
    assert.deepEqual(asked, ['bootnodes'])
    assert.deepEqual(node.connections, [])
  })

  it('starts, and stops, without a chain that can be read', async () => {
    await chain.stop()
    const node = await lab.node({ settings: onChain() })
    await node.bootstrapped(AbortSignal.timeout(10_000))
    assert.deepEqual(node.connections, [])
    await node.stop()
    chain = await StandInChain.start()
  })
})

/** A registry that lists each question for bootnodes. */
function telling(registry: ChainRegistry, asked: string[]): ChainRegistry {
  return {
    writes: registry.writes,
    namedOver: registry.namedOver,
    makesBlocks: false,
    lookup: async (...given) => registry.lookup(...given),
    list: async (...given) => registry.list(...given),
    bootnodes: async (...given) => {
      asked.push('bootnodes')
      return registry.bootnodes(...given)
    },
    describe: async (...given) => registry.describe(...given),
    isRegistered: async (...given) => registry.isRegistered(...given),
    register: async (...given) => registry.register(...given),
    unregister: async (...given) => registry.unregister(...given),
    watch: (...given) => registry.watch(...given),
    state: () => registry.state(),
    publish: async (...given) => registry.publish(...given),
    remove: async (...given) => registry.remove(...given),
    close: async () => registry.close(),
  }
}
