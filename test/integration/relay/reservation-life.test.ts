import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mock } from 'node:test'
import { circuitRelayServer, RELAY_V2_HOP_CODEC } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import type { StreamHandler } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { RelayTransport } from '../../../src/node/adapters/relay-transport.ts'
import { UNBOUNDED } from '../../../src/node/dial/dial-budget.ts'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import type { StackTransport } from '../../../src/node/stack/create-libp2p.ts'
import { OtherStacks } from '../../support/other-stacks.ts'
import { eventually } from '../../support/protocol-host.ts'

const MINUTE_MS = 60_000
const LOOK_EVERY_MS = 10_000

describe('a place with a relay', () => {
  const stacks = new OtherStacks()
  let nowMs: number
  /** How often the relay was asked for a place, and whether it gives one. */
  let asked: number
  let gives: boolean
  let relay: Awaited<ReturnType<OtherStacks['start']>>
  let relays: RelayTransport

  beforeEach(async () => {
    nowMs = Date.now()
    asked = 0
    gives = true
    mock.timers.enable({ apis: ['setInterval'] })
    relay = await stacks.start({
      services: { identify: identify(), relay: circuitRelayServer() },
      connectionGater: {
        denyInboundRelayReservation: async () => {
          asked++
          return !gives
        },
      },
    })
    const init = { policy: new DialPolicy({ allowPrivate: true }), background: UNBOUNDED, serves: true, now: () => nowMs }
    relays = new RelayTransport(init)
    const hidden = await stacks.start({ transports: [tcp(), relays.factory as StackTransport], services: { identify: identify() } })
    await hidden.dial(stacks.addressOf(relay))
    await relays.reserve(relay.peerId)
    assert.equal(asked, 1)
  })

  afterEach(async () => {
    relays.release()
    await stacks.stop()
    mock.timers.reset()
  })

  function pass(ms: number): void {
    nowMs += ms
    mock.timers.tick(LOOK_EVERY_MS)
  }

  /** Lets time pass again and again: while an answer is on its way, the relay is not asked anew. */
  async function passing(ms: number, times: number): Promise<void> {
    const isAsked = (): boolean => {
      pass(ms)
      return asked >= times
    }
    await eventually(isAsked, `asked ${times} times`)
  }

  it('is asked for again after 20 minutes, and then again, and kept', async () => {
    pass(19 * MINUTE_MS)
    assert.equal(asked, 1)
    pass(MINUTE_MS)
    await eventually(() => asked === 2, 'asked after 20 minutes')
    await passing(20 * MINUTE_MS, 3)
    assert.equal(relays.count, 1)
    assert.equal(relays.addresses.length, 1)
  })

  it('is asked for again when the clock of this machine was set back, or stood still with the machine', async () => {
    pass(-3 * 60 * MINUTE_MS)
    await eventually(() => asked === 2, 'asked after the clock was set back')
    await passing(24 * 60 * MINUTE_MS, 3)
  })

  it('is lost where the relay does not give it again, and may be asked for later', async () => {
    gives = false
    const lost = once(relays, 'lost')
    pass(20 * MINUTE_MS)
    const [event] = await lost
    assert.ok(relay.peerId.equals(event.relay))
    assert.deepEqual(relays.addresses, [])
    gives = true
    await relays.reserve(relay.peerId)
    assert.equal(relays.addresses.length, 1)
  })

  it('is asked for again at a peer that was no relay for a while', async () => {
    const handler = hopOf(relay)
    await relay.unhandle(RELAY_V2_HOP_CODEC)
    const lost = once(relays, 'lost')
    await relays.refresh(relay.peerId)
    await lost
    await assert.rejects(relays.reserve(relay.peerId), /is not a relay/)
    await relay.handle(RELAY_V2_HOP_CODEC, handler)
    await relays.reserve(relay.peerId)
    assert.equal(relays.addresses.length, 1)
  })
})

/** What a stack answers on the protocol of relays. */
function hopOf(stack: object): StreamHandler {
  const { components } = stack as { components: { registrar: { getHandler(protocol: string): { handler: StreamHandler } } } }
  return components.registrar.getHandler(RELAY_V2_HOP_CODEC).handler
}
