import assert from 'node:assert/strict'
import { join } from 'node:path'
import { createNode, ResolveError, type SubnetNode } from '../../../src/index.ts'
import { parsePeerId } from '../../../src/primitives/address.ts'
import { addressOf, heartbeats, Lab } from '../../support/nodes.ts'

const STRANGER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

describe('a line of nodes A - B - D - C', function () {
  this.timeout(60_000)
  const lab = new Lab()
  let a: SubnetNode
  let b: SubnetNode
  let c: SubnetNode
  let d: SubnetNode
  let homeOfA: string
  let chain: string

  before(async () => {
    homeOfA = await lab.folder()
    chain = `ledger:${join(await lab.folder(), 'ledger.db')}`
    b = await lab.node({ settings: { chain } })
    d = await lab.node({ settings: { chain, bootstrap: [addressOf(b)] } })
    c = await lab.node({ settings: { chain, bootstrap: [addressOf(d)] }, handler: ({ payload }) => payload.slice().reverse() })
    a = await lab.node({ home: homeOfA, settings: { chain, bootstrap: [addressOf(b)] } })
    await heartbeats(a, c, 2)
  })

  after(async () => lab.clean())

  it('resolves the far end from the heartbeats that came along the line', async () => {
    const found = await a.resolve(c.peerId)
    assert.equal(found.source, 'gossip')
    assert.equal(found.verified, true)
    assert.deepEqual(found.multiaddrs.map(String), c.multiaddrs.map(String))
    assert.deepEqual(
      found.attempts.map(({ tier, outcome }) => `${tier} ${outcome}`),
      ['gossip hit', 'neighbour skipped', 'chain skipped'],
    )
  })

  it('sends a task to the far end over a direct connection', async () => {
    const response = await a.tasks.sendTask(c.peerId, 'a task', Buffer.from('abc'))
    assert.equal(response.accepted, true)
    assert.equal(Buffer.from(response.result).toString(), 'cba')
  })

  it('finds the far end two hops away from a home that never heard of it', async () => {
    const fresh = await lab.idle({ settings: { bootstrap: [addressOf(b)] } })
    await fresh.start()
    const found = await fresh.resolve(c.peerId, { tiers: ['neighbour'] })
    assert.equal(found.source, 'neighbour')
    assert.equal(found.verified, true)
    assert.deepEqual(found.multiaddrs.map(String), c.multiaddrs.map(String))
  })

  it('finds on the chain what a peer published', async () => {
    await c.registry.publish(c.multiaddrs)
    const fresh = await lab.idle({ settings: { chain } })
    await fresh.start()
    const found = await fresh.resolve(c.peerId, { tiers: ['chain'] })
    assert.equal(found.source, 'chain')
    assert.equal(found.verified, true)
    assert.deepEqual(found.multiaddrs.map(String), c.multiaddrs.map(String))
  })

  it('says of an unknown peer what each tier came back with', async () => {
    const fresh = await lab.idle({ settings: { chain, bootstrap: [addressOf(b)] } })
    await fresh.start()
    await assert.rejects(fresh.resolve(parsePeerId(STRANGER)), (error: ResolveError) => {
      assert.ok(error instanceof ResolveError)
      assert.equal(error.code, 'PEER_NOT_FOUND')
      assert.deepEqual(
        error.attempts.map(({ tier }) => tier),
        ['gossip', 'neighbour', 'chain'],
      )
      assert.ok(error.attempts.every(({ outcome }) => outcome === 'miss' || outcome === 'timeout'))
      return true
    })
  })

  it('remembers what it heard when it is started again without a network', async () => {
    await a.stop()
    const again = await createNode({ home: homeOfA, settings: { logLevel: 'error' } })
    await again.start()
    try {
      const found = await again.resolve(c.peerId)
      assert.equal(found.source, 'gossip')
      assert.equal(found.verified, true)
    } finally {
      await again.stop()
    }
  })
})
