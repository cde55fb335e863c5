import assert from 'node:assert/strict'
import { addressOf, Lab } from '../support/nodes.ts'
import { GoLab } from './go-peer.ts'
import { testRelaysOf } from './relays.ts'

describe('a relay, ours or one of Go,', function () {
  this.timeout(60_000)
  testRelaysOf('Go', new GoLab(), { seconds: 120, bytes: 128 << 10 })

  it('gives no place to a Go peer that is not of the subnet', async () => {
    const lab = new Lab()
    const go = new GoLab()
    try {
      const relay = await lab.node({ settings: { relayService: 'on' } })
      const stranger = await go.peer({ tasks: true })
      await assert.rejects(stranger.do('reserve', { address: addressOf(relay) }), /PERMISSION_DENIED/)
    } finally {
      await go.clean()
      await lab.clean()
    }
  })
})
