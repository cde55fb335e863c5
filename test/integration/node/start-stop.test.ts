import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Tier } from '../../../src/index.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'

describe('starting and stopping a node', function () {
  this.timeout(30_000)
  let lab: Lab

  beforeEach(() => {
    lab = new Lab()
  })

  afterEach(async () => lab.clean())

  it('may be asked for twice, and in the wrong order: a node that was stopped while it started is stopped', async () => {
    const other = await lab.node()
    const node = await lab.idle({ settings: { listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [addressOf(other)] } })
    const started = Promise.all([node.start(), node.start()])
    const address = started.then(() => node.multiaddrs[0])
    await Promise.all([node.stop(), node.stop()])
    await address
    assert.deepEqual(node.multiaddrs, [])
    await assert.rejects(node.start(), /create another one/)
  })

  it('asks no router unless its program says so', async () => {
    const listen = ['/ip4/127.0.0.1/tcp/0']
    const [silent, asking, listensNowhere] = [
      await lab.node(),
      await lab.node({ settings: { listen, portMapping: true } }),
      await lab.idle(),
    ]
    const { status, detail } = silent.portMapping
    assert.deepEqual([status, detail], ['off', 'by setting'])
    assert.notEqual(asking.portMapping.status, 'off')
    assert.equal(listensNowhere.portMapping.detail, 'the node listens nowhere')
  })

  it('leaves no file of the home open where it cannot be made', async () => {
    const home = await lab.folder()
    const tier: Tier = {
      name: 'chain',
      order: 150,
      budgetMs: 1_000,
      find: async function* () {
        yield* []
      },
    }
    await assert.rejects(lab.idle({ home, tiers: [tier] }), { code: 'USAGE' })
    // SQLite takes its log away with the last connection
    assert.deepEqual(
      (await readdir(home)).filter((name) => name.startsWith('node.db')),
      ['node.db'],
    )
  })

  it('ends the calls that are on their way, and says that it was this node', async () => {
    const hanging = Promise.withResolvers<Uint8Array>()
    const answerer = await lab.node({ handler: async () => hanging.promise })
    const node = await lab.idle()
    await node.start()
    const working = event(answerer, 'peer:connect')
    const call = node.tasks.sendTask(answerer.multiaddrs, 'task', Buffer.from('x'))
    const ended = assert.rejects(call, { code: 'NOT_RUNNING' })
    await working
    await node.stop()
    await ended
    await assert.rejects(node.tasks.sendTask(answerer.multiaddrs, 'task', Buffer.from('x')), { code: 'NOT_RUNNING' })
    hanging.resolve(new Uint8Array())
  })

  it('does not wait for a connection that does not close', async () => {
    const other = await lab.node()
    const node = await lab.idle()
    await node.start()
    const connection = await node.connect(other.multiaddrs[0] as Multiaddr)
    connection.close = async () => new Promise(() => undefined)
    await node.stop()
  })

  it('needs no book that can be written to reach a peer', async () => {
    const home = await lab.folder()
    const answerer = await lab.node({ handler: ({ payload }) => payload, settings: { chain: `ledger:${join(home, 'ledger.db')}` } })
    await answerer.registry.publish(answerer.multiaddrs)
    const node = await lab.idle({ home })
    await node.start()
    const holder = new DatabaseSync(join(home, 'node.db'))
    holder.exec('PRAGMA query_only = OFF; BEGIN IMMEDIATE')
    try {
      const response = await node.tasks.sendTask(answerer.peerId, 'task', Buffer.from('x'))
      assert.equal(response.accepted, true)
    } finally {
      holder.close()
    }
  })
})

describe('calls to one address at the same time', function () {
  this.timeout(30_000)
  const lab = new Lab()

  after(async () => lab.clean())

  it('share one connection', async () => {
    const answerer = await lab.node({ handler: ({ payload }) => payload })
    const node = await lab.idle()
    await node.start()
    const connections = new Set<unknown>()
    const calls = Array.from({ length: 300 }, async () =>
      node.tasks.sendTask(answerer.multiaddrs, 'task', Buffer.from('x'), {
        onReport: ({ reached }) => connections.add(reached?.connection),
      }),
    )
    const responses = await Promise.all(calls)
    assert.ok(responses.every(({ accepted }) => accepted))
    assert.equal(connections.size, 1)
  })
})
