import assert from 'node:assert/strict'
import { addressOf, event, heartbeats, Lab } from '../../support/nodes.ts'

describe('a node that only asks, in the home of a node that runs', function () {
  this.timeout(30_000)
  let lab: Lab

  beforeEach(() => {
    lab = new Lab()
  })

  afterEach(async () => lab.clean())

  it('leaves the running node its place in the eyes of others', async () => {
    const home = await lab.folder()
    const other = await lab.node()
    const running = await lab.node({ home, settings: { bootstrap: [addressOf(other)] }, handler: ({ payload }) => payload })
    await heartbeats(other, running, 1)
    const asking = await lab.idle({ home })
    await asking.start()
    await asking.connect(other.multiaddrs[0] as never)
    assert.equal(asking.peerId.toString(), running.peerId.toString())
    // beats still go both ways
    await Promise.all([heartbeats(other, running, 2), heartbeats(running, other, 2)])
    const known = (await other.peers()).find(({ peerId }) => peerId.equals(running.peerId))
    assert.ok(known != null)
    assert.ok(known.protocols.includes('/subnet/task_protocol/1.0.0'))
    assert.deepEqual(known.multiaddrs.map(String), running.multiaddrs.map(String))
    // and a task for the peer ID that both share reaches the one that answers tasks
    const response = await other.tasks.sendTask(running.peerId, 'task', Buffer.from('still there'))
    assert.equal(response.accepted, true)
  })

  it('is asked in vain beside others of its home, however many: the call reaches the node that answers', async () => {
    const home = await lab.folder()
    const other = await lab.node()
    const met = event(other, 'peer:connect')
    const { peerId } = await lab.node({ home, settings: { bootstrap: [addressOf(other)] }, handler: ({ payload }) => payload })
    await met
    for (let count = 0; count < 4; count++) {
      const asking = await lab.idle({ home })
      await asking.start()
      await asking.connect(other.multiaddrs[0] as never)
    }
    const response = await other.tasks.sendTask(peerId, 'task', Buffer.from('still there'))
    assert.equal(response.accepted, true)
  })

  it('listens nowhere and says nothing of itself', async () => {
    const other = await lab.node()
    const asking = await lab.idle({ settings: { bootstrap: [addressOf(other)] } })
    const met = event(other, 'peer:connect')
    await asking.start()
    await met
    assert.deepEqual(asking.multiaddrs, [])
    assert.deepEqual(
      (await other.peers({ all: true })).map(({ entry }) => entry),
      [undefined],
    )
  })
})

describe('bootstraps', function () {
  this.timeout(30_000)
  let lab: Lab

  beforeEach(() => {
    lab = new Lab()
  })

  afterEach(async () => lab.clean())

  it('are each tried on their own, so that a dead one hinders nothing', async () => {
    const alive = await lab.node()
    const dead = '/ip4/127.0.0.1/tcp/1/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'
    const node = await lab.idle({ settings: { bootstrap: [dead, addressOf(alive)] } })
    const met = event(node, 'peer:connect')
    await node.start()
    assert.equal((await met).peerId, alive.peerId.toString())
  })

  it('are tried again until they are there, and again when they went away', async () => {
    const home = await lab.folder()
    const first = await lab.node({ home })
    const address = addressOf(first)
    const listen = [address.split('/p2p/')[0] ?? '']
    await first.stop()
    const node = await lab.node({ settings: { bootstrap: [address] } })
    let met = event(node, 'peer:connect')
    const second = await lab.node({ home, settings: { listen } })
    assert.equal((await met).peerId, second.peerId.toString())
    const gone = event(node, 'peer:disconnect')
    await second.stop()
    await gone
    met = event(node, 'peer:connect')
    const third = await lab.node({ home, settings: { listen } })
    assert.equal((await met).peerId, third.peerId.toString())
  })
})
