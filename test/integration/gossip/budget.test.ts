import assert from 'node:assert/strict'
import type { SubnetNode } from '../../../src/index.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'

const INTERVAL_MS = 500

describe('a subnet whose heartbeats have a small budget', function () {
  this.timeout(60_000)
  const lab = new Lab()

  after(async () => lab.clean())

  async function node(...bootstrap: SubnetNode[]): Promise<SubnetNode> {
    const settings = { heartbeatInterval: `${INTERVAL_MS}ms`, heartbeatBudget: 2_048, bootstrap: bootstrap.map(addressOf) }
    return lab.node({ settings })
  }

  /** The interval that the next beat of one tells another. */
  async function nextInterval(listener: SubnetNode, of: SubnetNode): Promise<number> {
    await event(listener, 'heartbeat', ({ peerId, state }) => peerId === of.peerId.toString() && state === 'online')
    const known = (await listener.peers({ all: true })).find(({ peerId }) => peerId.equals(of.peerId))
    return known?.entry?.intervalMs ?? Number.NaN
  }

  it('beats less often the more peers are heard, says so in time, and again more often when they have gone', async () => {
    const a = await node()
    const b = await node(a)
    assert.equal(await nextInterval(a, b), INTERVAL_MS)
    const others = [await node(a), await node(a)]
    let intervalMs = INTERVAL_MS
    while (intervalMs < 4 * INTERVAL_MS) {
      const before = intervalMs
      intervalMs = await nextInterval(a, b)
      assert.ok(intervalMs >= before, `${intervalMs} ms after ${before} ms`)
      assert.equal((await a.resolve(b.peerId, { tiers: ['gossip'] })).source, 'gossip')
    }
    assert.equal(b.stats.heartbeats.intervalMs, intervalMs)
    await Promise.all(others.map(async (other) => other.stop()))
    while (intervalMs > INTERVAL_MS) {
      intervalMs = await nextInterval(a, b)
    }
  })
})
