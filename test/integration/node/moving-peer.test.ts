import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import type { Attempt } from '../../../src/resolve/errors.ts'
import { addressOf, event, heartbeats, Lab } from '../../support/nodes.ts'

const echo = ({ payload }: { payload: Uint8Array }): Uint8Array => payload

/** Sends a task and gives the attempts that were needed. */
async function attemptsOf(from: SubnetNode, to: SubnetNode): Promise<{ source: string; attempts: Attempt[] }> {
  let reached: { source: string; attempts: readonly unknown[] } | undefined
  const response = await from.tasks.sendTask(to.peerId, 'task', Buffer.from('x'), {
    onReport: (report) => {
      reached = report.reached
    },
  })
  assert.equal(response.accepted, true)
  assert.ok(reached != null)
  return { source: reached.source, attempts: reached.attempts as Attempt[] }
}

describe('a peer whose address changed', function () {
  this.timeout(60_000)
  let lab: Lab

  beforeEach(() => {
    lab = new Lab()
  })

  afterEach(async () => lab.clean())

  it('is reached by its new address, which a neighbour knows, while the asking side still holds the old one', async () => {
    const homeOfA = await lab.folder()
    const homeOfC = await lab.folder()
    const b = await lab.node()
    const settings = { bootstrap: [addressOf(b)] }
    const a = await lab.node({ home: homeOfA, settings })
    const before = await lab.node({ home: homeOfC, settings, handler: echo })
    await heartbeats(a, before, 1)
    await a.stop()
    await before.stop()
    const after = await lab.node({ home: homeOfC, settings, handler: echo })
    await heartbeats(b, after, 1)
    const again = await lab.idle({ home: homeOfA, settings })
    await again.start()
    const { source, attempts } = await attemptsOf(again, after)
    assert.equal(source, 'neighbour')
    assert.deepEqual(
      attempts.map(({ tier, outcome }) => `${tier} ${outcome}`),
      ['gossip error', 'neighbour hit', 'chain skipped'],
    )
    assert.match(attempts[0]?.detail ?? '', /ECONNREFUSED/)
  })

  it('is reached although one neighbour answers with its old record', async () => {
    const homeOfC = await lab.folder()
    const homeOfOld = await lab.folder()
    const listener = await lab.node({ home: homeOfOld })
    const current = await lab.node()
    const before = await lab.node({
      home: homeOfC,
      settings: { bootstrap: [addressOf(listener)], heartbeatInterval: '1m' },
      handler: echo,
    })
    await event(listener, 'heartbeat', ({ state }) => state === 'online')
    // the neighbour is away while the peer moves: it comes back with a record that it holds for fresh
    await listener.stop()
    await before.stop()
    const after = await lab.node({ home: homeOfC, settings: { bootstrap: [addressOf(current)] }, handler: echo })
    await heartbeats(current, after, 1)
    const old = await lab.node({ home: homeOfOld })
    const a = await lab.idle({ settings: { bootstrap: [addressOf(old), addressOf(current)] } })
    await a.start()
    const { source, attempts } = await attemptsOf(a, after)
    assert.equal(source, 'neighbour')
    assert.equal(attempts[1]?.outcome, 'hit')
  })

  it('is reached on the chain when everything nearer is out of date', async () => {
    const homeOfA = await lab.folder()
    const homeOfC = await lab.folder()
    const chain = `ledger:${join(await lab.folder(), 'ledger.db')}`
    const a = await lab.node({ home: homeOfA })
    const before = await lab.node({ home: homeOfC, settings: { bootstrap: [addressOf(a)] }, handler: echo })
    await heartbeats(a, before, 1)
    await a.stop()
    await before.stop()
    const after = await lab.node({ home: homeOfC, settings: { chain }, handler: echo })
    await after.registry.publish(after.multiaddrs)
    const again = await lab.idle({ home: homeOfA, settings: { chain } })
    await again.start()
    assert.equal((await attemptsOf(again, after)).source, 'chain')
  })

  it('is reported as unreachable, with the reason of each address, when none of them works', async () => {
    const homeOfA = await lab.folder()
    const a = await lab.node({ home: homeOfA })
    const c = await lab.node({ settings: { bootstrap: [addressOf(a)] }, handler: echo })
    await heartbeats(a, c, 1)
    await a.stop()
    await c.stop()
    const again = await lab.idle({ home: homeOfA })
    await again.start()
    await assert.rejects(again.tasks.sendTask(c.peerId, 'task', Buffer.from('x')), { code: 'UNREACHABLE', message: /ECONNREFUSED/ })
  })

  it('is reached at once though another of its addresses takes connections and then says nothing', async () => {
    const silent: Server = createServer()
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = silent.address() as { port: number }
      const c = await lab.node({ handler: echo })
      const b = await lab.idle()
      await b.start()
      const dead = multiaddr(`/ip4/127.0.0.1/tcp/${port}/p2p/${c.peerId.toString()}`)
      const startedAtMs = performance.now()
      const response = await b.tasks.sendTask([dead, multiaddr(addressOf(c))], 'task', Buffer.from('x'))
      assert.equal(response.accepted, true)
      assert.ok(performance.now() - startedAtMs < 4_500, 'the silent address was waited for')
    } finally {
      silent.close()
    }
  })

  it('is a usage error when it is the node itself', async () => {
    const a = await lab.node()
    await assert.rejects(a.tasks.sendTask(a.peerId, 'task', Buffer.from('x')), { code: 'USAGE' })
    await assert.rejects(a.resolve(a.peerId), { code: 'USAGE' })
  })
})
