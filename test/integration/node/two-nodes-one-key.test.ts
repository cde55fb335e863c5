import assert from 'node:assert/strict'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { SubnetNode } from '../../../src/index.ts'
import { addressOf, heartbeats, Lab } from '../../support/nodes.ts'
import { eventually } from '../../support/protocol-host.ts'

const TOLD = /another node runs with this node's key, at \/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3.*only one of them gets the calls/

const TOLD_BY_A_THIRD =
  /^two nodes run with the key of (12D3\S+), at (\/\S+) and at (\/\S+): only one of them gets the calls for this peer ID/

describe('a key', function () {
  this.timeout(60_000)
  let lab: Lab
  let neighbour: SubnetNode

  beforeEach(async () => {
    lab = new Lab()
    neighbour = await lab.node({ settings: { heartbeatInterval: '500ms' } })
  })

  afterEach(async () => lab.clean())

  async function beating(home: string): Promise<SubnetNode> {
    return lab.node({ home, settings: { heartbeatInterval: '500ms', bootstrap: [addressOf(neighbour)] } })
  }

  async function copyOf(home: string): Promise<string> {
    const copy = await lab.folder()
    await copyFile(join(home, 'identity.key'), join(copy, 'identity.key'))
    return copy
  }

  it('that two live nodes have is told of by one of them, with the place of the other', async () => {
    const home = await lab.folder()
    const first = await beating(home)
    const second = await beating(await copyOf(home))
    assert.equal(first.peerId.toString(), second.peerId.toString())
    while (![...first.notices, ...second.notices].some((notice) => TOLD.test(notice))) {
      await setTimeout(50)
    }
    const [told, other] = first.notices.some((notice) => TOLD.test(notice)) ? [first, second] : [second, first]
    assert.ok(told.notices.join().includes(addressOf(other)))
  })

  it('that two live nodes have is told of by a third peer that is connected to both, with the place of each, until one is gone', async () => {
    const home = await lab.folder()
    const first = await beating(home)
    const second = await beating(await copyOf(home))
    await eventually(() => neighbour.notices.length > 0, 'it is told of')
    const [, peer, ...places] = TOLD_BY_A_THIRD.exec(neighbour.notices.join()) ?? []
    assert.equal(peer, first.peerId.toString())
    assert.deepEqual(places.sort(), [addressOf(first), addressOf(second)].sort())
    await first.stop()
    await eventually(() => neighbour.notices.length === 0, 'it is forgotten')
  })

  it('that a node moved with is that of one node', async () => {
    const home = await lab.folder()
    const before = await beating(home)
    await heartbeats(neighbour, before, 2)
    await before.stop()
    const after = await beating(await copyOf(home))
    await heartbeats(neighbour, after, 8)
    assert.deepEqual([after.notices, neighbour.notices], [[], []])
  })

  it('that a command shares with the node of its home is that of one node', async () => {
    const home = await lab.folder()
    const running = await beating(home)
    const command = await lab.idle({ home, settings: { bootstrap: [addressOf(neighbour)] } })
    await command.start()
    await command.connect(neighbour.multiaddrs[0] as never)
    await heartbeats(neighbour, running, 8)
    assert.deepEqual([running.notices, command.notices, neighbour.notices], [[], [], []])
  })
})
