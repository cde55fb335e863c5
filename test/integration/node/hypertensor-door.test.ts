import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { peerIdFromString } from '@libp2p/peer-id'
import { NODE_CLASSES } from '../../../src/chain/registry.ts'
import { Door } from '../../../src/node/admission/door.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { HypertensorSetup } from '../../support/hypertensor-setup.ts'
import { SUBNET } from '../../support/hypertensor-state.ts'
import { newPeer, type TestPeer } from '../../support/keys.ts'
import type { Fault } from '../../support/stand-in-chain.ts'

const { proofOfStake } = JSON.parse(readFileSync(join(import.meta.dirname, '../../fixtures/hypertensor/state.json'), 'utf8')) as {
  proofOfStake: Record<string, boolean>
}
const MEMBER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
const FAULTS: Fault[] = ['silent', 'garbage', 'wrong ids', 'wrong types', 'error', 'rate limit', 'drop', 'half-closed', 'too large']

describe('the door of a node on a Hypertensor chain', function () {
  this.timeout(30_000)
  const setup = new HypertensorSetup()
  let stranger: TestPeer
  let nowMs: number

  beforeEach(async () => {
    stranger = await newPeer()
    nowMs = Date.now()
  })

  afterEach(async () => setup.clean())

  function door(registry: ReturnType<HypertensorSetup['registry']>, minClass: (typeof NODE_CLASSES)[number] = 'registered'): Door {
    const log = createLogger('silent', () => undefined)
    return new Door({ registry, subnetId: SUBNET, minClass, onError: 'deny', exempt: [], log, now: () => nowMs })
  }

  it('lets in exactly those whom the recorded chain lets in, for each class, and no stranger', async () => {
    const registry = setup.registry(await setup.chain())
    for (const [index, minClass] of NODE_CLASSES.entries()) {
      const here = door(registry, minClass)
      for (const [key, registered] of Object.entries(proofOfStake)) {
        const [peer = '', atLeast] = key.split('/')
        if (Number(atLeast) === index) {
          assert.equal((await here.check(peerIdFromString(peer))).admitted, registered, key)
        }
      }
      assert.equal((await here.check(stranger.peerId)).admitted, false)
    }
  })

  for (const fault of FAULTS) {
    it(`keeps strangers out, and whom it knew in, while the endpoint fails: ${fault}`, async () => {
      const chain = await setup.chain()
      const here = door(setup.registry(chain))
      const member = peerIdFromString(MEMBER)
      assert.equal((await here.check(member)).admitted, true)
      chain.fault = fault
      if (fault === 'drop') {
        chain.drop()
      }
      const verdict = await here.check(stranger.peerId)
      assert.equal(verdict.admitted, false)
      here.expire()
      assert.equal((await here.check(member)).admitted, true)
      chain.fault = undefined
      chain.drop()
      nowMs += 31_000
      assert.equal((await here.check(stranger.peerId)).admitted, false)
      assert.match(here.refusalOf(stranger.peerId) ?? '', /is not registered in subnet/)
    })
  }
})
