import assert from 'node:assert/strict'
import type { Connection } from '@libp2p/interface'
import { addressOf, Lab } from '../../support/nodes.ts'
import { eventually } from '../../support/protocol-host.ts'
import { memoryInUse } from '../../support/streams.ts'
import { ThrowawayPeers } from '../../support/throwaway-crowd.ts'

/** How many strangers come; `SUBNET_TEST_STRANGERS=2000` tries as many as the bounds are made for. */
const STRANGERS = Number(process.env['SUBNET_TEST_STRANGERS'] ?? 300)
/** So many come before the first look: code is compiled and caches are filled by then. */
const FIRST = 50
const KEPT_BYTES = 5e6
/** libp2p holds a connection for up to 10 s after its end. */
const FORGOTTEN_WITHIN_MS = 60_000
const COLLECT_EVERY_MS = 500
/** The last one may be: as the last argument of something, say. */
const LAST_HELD = 1
const KAD = '/test/strangers/kad/1.0.0'

describe('strangers who come once', function () {
  this.timeout(60_000 + STRANGERS * 1_000)
  const lab = new Lab()
  const strangers = new ThrowawayPeers()

  after(async () => {
    await strangers.end()
    await lab.clean()
  })

  it(`take up no memory when they are gone: ${STRANGERS} of them`, async function () {
    const counts = { tasks: 0, beats: 0, asked: 0 }
    const node = await lab.node({
      settings: { kadProtocol: KAD, heartbeatInterval: '10m' },
      handler: async ({ payload }) => payload,
    })
    node.on('task', () => counts.tasks++)
    node.on('heartbeat', () => counts.beats++)
    const connections: Array<WeakRef<Connection>> = []
    node.on('peer:connect', ({ peerId }) => {
      connections.push(...node.connections.filter(({ remotePeer }) => remotePeer.toString() === peerId).map((open) => new WeakRef(open)))
    })
    const visit = async (count: number): Promise<ReturnType<typeof memoryInUse>> => {
      counts.asked += await strangers.visit(addressOf(node), KAD, count)
      let inUse = memoryInUse()
      const forgotten = (): boolean => {
        inUse = memoryInUse()
        return connections.filter((open) => open.deref() != null).length <= LAST_HELD
      }
      await eventually(forgotten, 'no connection is held', FORGOTTEN_WITHIN_MS, COLLECT_EVERY_MS)
      return inUse
    }
    const before = await visit(FIRST)
    const after = await visit(STRANGERS)
    assert.equal(counts.tasks, counts.asked)
    assert.ok(
      counts.beats > STRANGERS / 5 && connections.length >= counts.asked,
      `${counts.beats} beats, ${connections.length} connections`,
    )
    const kept = { heap: after.heap - before.heap, external: after.external - before.external }
    const figures = `${inMegabytes(kept.heap)} on the heap, ${inMegabytes(kept.external)} outside of it`
    Object.assign(this.test ?? {}, { title: `${this.test?.title}: ${figures} more than before` })
    assert.ok(kept.heap < KEPT_BYTES && kept.external < KEPT_BYTES, `more than before: ${figures}`)
  })
})

function inMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
