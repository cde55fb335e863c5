import { describeReading } from '../../../../src/testing/registry-reading-compliance.ts'
import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { HypertensorState, SUBNET } from '../../../support/hypertensor-state.ts'
import type { StandInOptions } from '../../../support/stand-in-chain.ts'

/** What an endpoint may lack. */
const ENDPOINTS: Array<[string, StandInOptions]> = [
  ['', {}],
  [' without methods of its own', { without: ['network_proofOfStake'] }],
  [' that passes no calls on to the runtime', { without: ['state_call'] }],
  [' with the fewest methods', { strict: true, without: ['network_proofOfStake', 'state_queryStorageAt'] }],
]

for (const runtime of ['v3', 'earlier'] as const) {
  for (const [endpoint, options] of ENDPOINTS) {
    describeReading(`a Hypertensor chain, runtime ${runtime}, at a node${endpoint}`, async () => {
      const setup = new HypertensorSetup()
      const state = HypertensorState.empty(runtime)
      state.addSubnet(128_002, 2)
      // a friendly id of a subnet that was taken away since
      state.addSubnet(128_003, 3)
      state.removeSubnet(128_003)
      const chain = await setup.chain({ state, ...options })
      if (options.strict === true) {
        chain.tellBlockInStorage()
      }
      return {
        registryOf: (_, subnetId = SUBNET) => setup.registry(chain, { subnetId }),
        publish: async ({ peerId }, multiaddr) => {
          state.setNode(peerId.toString(), multiaddr)
          chain.newHead()
        },
        remove: async ({ peerId }) => {
          state.removeNode(peerId.toString())
          chain.newHead()
        },
        register: async ({ peerId }, nodeClass) => state.setClass(peerId.toString(), nodeClass),
        unregister: async ({ peerId }) => state.setClass(peerId.toString(), undefined),
        roles: {
          addNode: async ({ main, bootnode, client }, bootnodeAt) => {
            const id = state.setNode(main.peerId.toString(), undefined, {
              nodeClass: 'idle',
              bootnode: [bootnode.peerId.toString(), bootnodeAt],
              client: [client.peerId.toString(), undefined],
            })
            const { hotkey } = state.get('SubnetNodesData', SUBNET, id) as { hotkey: string }
            state.set('HotkeyOwner', [hotkey], `0x${'ab'.repeat(20)}`)
            return id
          },
          setOverwatch: async ({ peerId }, nodeId) => {
            if (nodeId == null) {
              state.removeOverwatch(peerId.toString())
            } else {
              state.setOverwatch(peerId.toString(), nodeId)
            }
          },
          setBootnode: async ({ peerId }, multiaddr) => state.setBootnodes([[peerId.toString(), multiaddr.bytes]]),
        },
        missing: [128_009, 7, 128_003, 3],
        stop: async () => setup.clean(),
      }
    })
  }
}
