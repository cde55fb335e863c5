import { HypertensorSetup } from '../../../support/hypertensor-setup.ts'
import { HypertensorState, SUBNET } from '../../../support/hypertensor-state.ts'
import { describeReading } from '../../../support/registry-reading-compliance.ts'

for (const strict of [false, true]) {
  describeReading(`a Hypertensor chain${strict ? ' with the fewest methods' : ''}`, async () => {
    const setup = new HypertensorSetup()
    const chain = await setup.chain({ state: HypertensorState.empty(), strict })
    const { state } = chain
    if (strict) {
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
      stop: async () => setup.clean(),
    }
  })
}
