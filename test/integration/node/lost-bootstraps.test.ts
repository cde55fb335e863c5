import assert from 'node:assert/strict'
import { on } from 'node:events'
import type { SubnetNode } from '../../../src/index.ts'
import { addressOf, event, heartbeats, Lab } from '../../support/nodes.ts'

/** A bootstrap that was there once. Nothing listens there. */
const GONE = '/ip4/127.0.0.1/tcp/1/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

describe('a node whose bootstraps are all gone', () => {
  const lab = new Lab()
  let home: string
  let friend: SubnetNode
  let bootstrap: SubnetNode

  beforeEach(async () => {
    bootstrap = await lab.node()
    friend = await lab.node({ settings: { bootstrap: [addressOf(bootstrap)] } })
    home = await lab.folder()
    const before = await lab.node({ home, settings: { bootstrap: [addressOf(bootstrap)] } })
    await heartbeats(before, friend, 1)
    await before.stop()
    await bootstrap.stop()
  })

  afterEach(async () => lab.clean())

  it('connects to peers that it knew, and is found where it is now', async () => {
    const node = await lab.idle({ home, settings: { listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [GONE] } })
    const back = heartbeats(friend, node, 1)
    await node.start()
    await back
    const { multiaddrs } = await friend.resolve(node.peerId)
    assert.deepEqual(multiaddrs.map(String), [addressOf(node)])
  })

  it('connects to them again when the last one left', async () => {
    const node = await lab.node({ home, settings: { bootstrap: [GONE] } })
    await Promise.all([connected(node, friend), connected(friend, node)])
    const again = event(node, 'peer:connect')
    await friend.disconnect(node.peerId)
    assert.equal((await again).peerId, friend.peerId.toString())
  })

  it('asks them, also where it is a command with a node of its own', async () => {
    const other = await lab.node({ settings: { bootstrap: [addressOf(friend)] } })
    await connected(friend, other)
    const command = await lab.idle({ home, settings: { bootstrap: [GONE] } })
    await command.start()
    const { source, multiaddrs } = await command.resolve(other.peerId)
    assert.equal(source, 'neighbour')
    assert.deepEqual(multiaddrs.map(String), [addressOf(other)])
  })

  it('leaves them alone while it has another peer', async () => {
    const other = await lab.node()
    const node = await lab.node({ home, settings: { bootstrap: [GONE, addressOf(other)] } })
    await connected(node, other)
    // a peer that a look at the book would lead to is not dialled meanwhile
    const peers: string[] = []
    const watched = on(node, 'peer:connect')
    const last = await lab.node({ settings: { bootstrap: [addressOf(node)] } })
    for await (const [{ peerId, direction }] of watched) {
      peers.push(`${peerId} ${direction}`)
      if (peerId === last.peerId.toString()) {
        break
      }
    }
    assert.deepEqual(
      peers.filter((peer) => peer.includes('outbound')),
      [],
    )
  })
})

async function connected(node: SubnetNode, to: SubnetNode): Promise<void> {
  const isThere = async (): Promise<boolean> => (await node.peers()).some(({ peerId }) => peerId.equals(to.peerId))
  const connects = event(node, 'peer:connect', ({ peerId }) => peerId === to.peerId.toString())
  if (!(await isThere())) {
    await connects
  }
}
