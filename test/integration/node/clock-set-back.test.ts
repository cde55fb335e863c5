import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import { AddressBook } from '../../../src/gossip/address-book.ts'
import { sealPeerRecord } from '../../../src/gossip/peer-record.ts'
import type { SubnetNode } from '../../../src/index.ts'
import { homeAt } from '../../../src/node/home/home.ts'
import { openHomeDatabase } from '../../../src/node/home/home-database.ts'
import { loadIdentity } from '../../../src/node/home/identity.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'

const echo = ({ payload }: { payload: Uint8Array }): Uint8Array => payload
const TWO_MINUTES_MS = 120_000

describe('a peer that moved while its clock was two minutes behind', function () {
  this.timeout(60_000)
  let lab: Lab
  let homeOfMoved: string

  beforeEach(async () => {
    lab = new Lab()
    homeOfMoved = await lab.folder()
  })

  afterEach(async () => lab.clean())

  /** A node whose book has the peer where it was, with a number that is two minutes above those that its clock gives now. */
  async function nodeWithOldPlace(): Promise<SubnetNode> {
    const home = await lab.folder()
    const node = await lab.node({ home })
    const database = await openHomeDatabase(homeAt(home))
    const now = Date.now()
    const nowhere = [multiaddr('/ip4/127.0.0.1/tcp/1')]
    const record = await sealPeerRecord(await loadIdentity(homeAt(homeOfMoved)), nowhere, BigInt(now + TWO_MINUTES_MS))
    const heard = { origin: 'gossip', state: 'online', seenAtMs: now, heartbeatAtMs: now, intervalMs: 20_000, bad: false } as const
    assert.equal(await new AddressBook(database).put({ ...record, ...heard }), 'stored')
    database.close()
    return node
  }

  async function movedTo(neighbour: SubnetNode): Promise<SubnetNode> {
    const met = event(neighbour, 'peer:connect')
    const moved = await lab.node({ home: homeOfMoved, settings: { bootstrap: [addressOf(neighbour)] }, handler: echo })
    await met
    return moved
  }

  async function isFound(moved: SubnetNode, by: SubnetNode): Promise<void> {
    const asking = await lab.idle({ settings: { bootstrap: [addressOf(by)] } })
    await asking.start()
    assert.ok((await asking.tasks.sendTask(moved.peerId, 'task', Buffer.from('x'))).accepted)
  }

  it('is found by way of a neighbour that is connected to it, and stored its old place', async () => {
    const neighbour = await nodeWithOldPlace()
    await isFound(await movedTo(neighbour), neighbour)
  })
})
