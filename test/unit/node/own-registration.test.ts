import assert from 'node:assert/strict'
import { OwnRegistration } from '../../../src/node/admission/own-registration.ts'
import { newPeer } from '../../support/keys.ts'
import { eventually } from '../../support/protocol-host.ts'

describe('a node without a door', () => {
  it('dials those that refuse it at once when it has been registered, and asks its chain only while somebody refuses it', async () => {
    const { peerId } = await newPeer()
    const state = { isTurnedAway: false, looks: 0, retries: 0 }
    const refused = {
      get isTurnedAway(): boolean {
        state.looks++
        return state.isTurnedAway
      },
      retry: () => void state.retries++,
    }
    const chain = { registered: false, asked: 0, isAway: false }
    const registry = {
      isRegistered: async () => {
        chain.asked++
        if (chain.isAway) {
          throw new Error('no chain')
        }
        return { peerId, registered: chain.registered, block: 1, stale: false, readAtMs: 0 }
      },
    }
    const own = new OwnRegistration({ registry, self: peerId, refused, everyMs: 1 })
    own.start()
    try {
      const asked = async (more: number): Promise<void> => {
        const before = chain.asked
        await eventually(() => chain.asked >= before + more, 'the chain is asked')
      }
      state.isTurnedAway = true
      await asked(3)
      assert.equal(state.retries, 0)
      chain.isAway = true
      await asked(3)
      chain.isAway = false
      chain.registered = true
      await eventually(() => state.retries > 0, 'they are dialled again')
      await asked(3)
      assert.equal(state.retries, 1, 'once')
      state.isTurnedAway = false
      const { asked: before } = chain
      const { looks } = state
      await eventually(() => state.looks >= looks + 3, 'it looks whether somebody refuses it')
      assert.equal(chain.asked, before, 'the chain is left alone')
    } finally {
      own.stop()
    }
  })
})
