import assert from 'node:assert/strict'
import { randomInt, randomUUID } from 'node:crypto'
import type { SubnetNode } from '../../../src/index.ts'
import { kadProtocolOf, type Network } from '../../../src/node/network/network.ts'
import { newPeer } from '../../support/keys.ts'
import { lyingPeer, type NamedPeer, nobodyAt, SocketLog } from '../../support/lying-dht.ts'
import { Lab } from '../../support/nodes.ts'
import { OtherStacks } from '../../support/other-stacks.ts'
import { bytesInUse, keepsLess } from '../../support/streams.ts'

const MAX_BACKGROUND = 32
const MAX_OF_A_RESOLVE = 16
const MAX_KEPT_BYTES = 20 * 1_024 * 1_024
const ADDRESSES = 21
/** Nobody listens on these ports. */
const DEAD_PORTS = { min: 1, max: 1_000 }

describe('a DHT peer that lies', () => {
  const lab = new Lab()
  const stacks = new OtherStacks()
  let sockets: SocketLog

  beforeEach(() => {
    sockets = new SocketLog()
  })

  afterEach(async () => {
    sockets.stop()
    await lab.clean()
    await stacks.stop()
  })

  async function freshPeers(count: number, addresses = ADDRESSES): Promise<NamedPeer[]> {
    return Promise.all(
      Array.from({ length: count }, async () =>
        nobodyAt([
          ...Array.from({ length: addresses - 1 }, () => `/ip4/127.0.0.1/tcp/${randomInt(DEAD_PORTS.min, DEAD_PORTS.max)}`),
          '/unix/%2Fvar%2Frun%2Fdocker.sock',
        ]),
      ),
    )
  }

  /** A node whose only bootstrap answers each query with so many fresh peers, and a few that exist and lie as well. */
  async function victimOf(
    perAnswer: number,
    settings: { network: Network; kadProtocol?: string },
  ): Promise<{ node: SubnetNode; asked(): number; startedAtMs: number }> {
    const kadProtocol = kadProtocolOf({ kadProtocol: undefined, subnetId: 1, ...settings })
    const stock = await freshPeers(perAnswer * 10)
    const accomplices: NamedPeer[] = []
    let next = 0
    // no peer is named twice before all were
    const name = (): NamedPeer[] => [...accomplices, ...Array.from({ length: perAnswer }, () => stock[next++ % stock.length] as NamedPeer)]
    const liars = await Promise.all(Array.from({ length: 4 }, async () => lyingPeer(stacks, kadProtocol, name)))
    accomplices.push(...liars.slice(1).map(({ id, address }) => ({ id, addresses: [address] })))
    const before = sockets.ports.length
    const startedAtMs = performance.now()
    const node = await lab.node({ settings: { kadProtocol: undefined, ...settings, bootstrap: [String(liars[0]?.address)] } })
    assert.equal(before, 0)
    return { node, startedAtMs, asked: () => liars.reduce((sum, { asked }) => sum + asked(), 0) }
  }

  /** The most dials that the node may have made by now of its own accord, its bootstrap among them. */
  function allowed(startedAtMs: number): number {
    return 1 + MAX_BACKGROUND + Math.ceil((performance.now() - startedAtMs) / 2_000)
  }

  async function resolveNobody(node: SubnetNode): Promise<void> {
    const { peerId } = await newPeer()
    await assert.rejects(node.resolve(peerId, { tiers: ['neighbour'] }))
  }

  const cases = [
    { perAnswer: 20, settings: { network: 'native', kadProtocol: `/test/${randomUUID()}/kad/1.0.0` } },
    { perAnswer: 400, settings: { network: 'native', kadProtocol: `/test/${randomUUID()}/kad/1.0.0` } },
    { perAnswer: 400, settings: { network: 'template' } },
  ] as const
  for (const { perAnswer, settings } of cases) {
    it(`that names ${perAnswer} peers an answer makes a ${settings.network} node dial few of them, and no socket of this machine`, async function () {
      this.timeout(60_000)
      const before = bytesInUse()
      const { node, asked, startedAtMs } = await victimOf(perAnswer, settings)
      const kept = bytesInUse()
      for (let resolves = 0; resolves < 3; resolves++) {
        const [dialsBefore, askedBefore] = [sockets.ports.length, asked()]
        const own = allowed(startedAtMs)
        await resolveNobody(node)
        assert.ok(asked() > askedBefore, 'the liars were asked')
        const dials = sockets.ports.length - dialsBefore
        // the node's own dials may have been waiting for the first walk
        const most = resolves === 0 ? MAX_OF_A_RESOLVE + own : MAX_OF_A_RESOLVE
        assert.ok(dials <= most, `${dials} dials for one resolve`)
      }
      assert.ok(sockets.ports.length <= allowed(startedAtMs) + 3 * MAX_OF_A_RESOLVE, `${sockets.ports.length} dials in all`)
      assert.ok(sockets.ports.length > 8, 'it did dial what it was told of')
      assert.deepEqual(sockets.paths, [])
      await keepsLess(Math.max(before, kept), MAX_KEPT_BYTES)
    })
  }
})
