import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { identify } from '@libp2p/identify'
import type { PrivateKey } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import { RefusedPeers } from '../../../src/node/admission/refused-peers.ts'
import { composeNode } from '../../../src/node/compose.ts'
import { DialPolicy } from '../../../src/node/dial/dial-policy.ts'
import type { RawSettings } from '../../../src/node/home/config.ts'
import { ensureHome, homeAt } from '../../../src/node/home/home.ts'
import { loadSettings } from '../../../src/node/home/load-settings.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { Dials } from '../../support/dials.ts'
import { newPeer } from '../../support/keys.ts'
import { freePort } from '../../support/linked-project.ts'
import { addressOf, heartbeats, Lab } from '../../support/nodes.ts'
import { OtherStacks } from '../../support/other-stacks.ts'
import { eventually } from '../../support/protocol-host.ts'
import { templatePeer } from '../../support/template-peer.ts'

/** In place of a second, doubled up to 10 minutes. */
const DELAYS = { firstMs: 100, maxMs: 60_000 }
const DIALS = 4
/** Each delay is shorter by a quarter at most: the last dial comes three delays after the first. */
const LEAST_MS = DELAYS.firstMs * 0.75 * (2 ** (DIALS - 1) - 1)
const MAX_LINES = 10

interface Told {
  node: SubnetNode
  lines: string[]
}

describe('a peer that is refused', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const stacks = new OtherStacks()
  const nodes: SubnetNode[] = []
  let dials: Dials
  let chain: string
  let kadProtocol: string

  beforeEach(async () => {
    chain = `ledger:${join(await lab.folder(), 'shared.db')}`
    kadProtocol = `/test/${randomUUID()}/kad/1.0.0`
    dials = new Dials()
  })

  afterEach(async () => {
    dials.stop()
    await Promise.all(nodes.splice(0).map(async (node) => node.stop()))
    await stacks.stop()
    await lab.clean()
  })

  async function idle(given: RawSettings, privateKey?: PrivateKey): Promise<Told> {
    const home = homeAt(await lab.folder())
    await ensureHome(home)
    const flags = { chain, kadProtocol, portMapping: false, heartbeatInterval: '1s', heartbeatBudget: 1_000_000, ...given }
    const { settings } = await loadSettings({ flags, env: {}, home })
    const lines: string[] = []
    const node = await composeNode({
      ...{ home, settings, privateKey: privateKey ?? (await newPeer()).privateKey, agent: 'test', redialDelays: DELAYS },
      listen: [String(given.listen ?? '/ip4/127.0.0.1/tcp/0')],
      log: createLogger('info', (line) => lines.push(line.trimEnd())),
    })
    nodes.push(node)
    return { node, lines }
  }

  async function started(settings: RawSettings, privateKey?: PrivateKey): Promise<Told> {
    const told = await idle(settings, privateKey)
    await told.node.registry.register('registered')
    await told.node.start()
    return told
  }

  function portOf(node: SubnetNode): number {
    return Number(/\/tcp\/(\d+)/.exec(addressOf(node))?.[1])
  }

  function areConnected(one: SubnetNode, other: SubnetNode): boolean {
    return [
      [one, other],
      [other, one],
    ].every(([from, to]) => from?.connections.some(({ remotePeer, status }) => status === 'open' && to?.peerId.equals(remotePeer)))
  }

  /** Two registered nodes, each a bootstrap of the other, with gossip and one DHT, which have met. */
  async function pair(): Promise<{ member: Told; leaver: Told }> {
    const admission = 'registered'
    const { privateKey, peerId } = await newPeer()
    const listen = `/ip4/127.0.0.1/tcp/${await freePort()}`
    const member = await started({ admission, bootstrap: [`${listen}/p2p/${peerId.toString()}`] })
    const leaver = await started({ admission, listen: [listen], bootstrap: [addressOf(member.node)] }, privateKey)
    await Promise.all([heartbeats(member.node, leaver.node, 1), heartbeats(leaver.node, member.node, 1)])
    return { member, leaver }
  }

  it('is dialled after growing delays, with a line for each change, when it was unregistered while it ran; and let in at once again', async () => {
    const { member, leaver } = await pair()
    const events: string[] = []
    for (const { node } of [member, leaver]) {
      for (const name of ['peer:connect', 'peer:disconnect'] as const) {
        node.on(name, () => events.push(name))
      }
    }
    dials.forget()
    member.lines.length = 0
    leaver.lines.length = 0
    const startedAtMs = performance.now()
    assert.equal(await leaver.node.registry.unregister(), true)
    await eventually(() => dials.to(portOf(member.node)) >= DIALS, `${DIALS} dials`, 30_000)
    assert.ok(performance.now() - startedAtMs >= LEAST_MS, 'the dials came too soon')
    assert.ok(dials.to(portOf(leaver.node)) <= 2, 'the one who refuses dialled only as long as it did not know')
    const id = leaver.node.peerId.toString()
    assert.deepEqual(
      member.lines.filter((line) => line.includes('turned away')),
      [`warn: bootstrap turned away: ${id} is not registered in subnet 1`],
    )
    assert.equal(leaver.lines.filter((line) => /^warn: this node has lost its registration/.test(line)).length, 1)
    assert.equal(leaver.lines.filter((line) => /^warn: bootstrap \S+ does not let this node in/.test(line)).length, 1)
    assert.ok(member.lines.length <= MAX_LINES && leaver.lines.length <= MAX_LINES)
    assert.match((await leaver.node.ownRefusal()) ?? '', /is not registered in subnet 1/)
    const { length } = events
    assert.ok(length <= 4, `${length} events: ${events.join()}`)

    await leaver.node.registry.register('registered')
    await eventually(() => areConnected(member.node, leaver.node), 'they are connected again')
    await eventually(() => leaver.lines.some((line) => line.endsWith('lets this node in now')), 'it is told')
    assert.ok(leaver.lines.includes('info: this node is registered now: peers that require registration let this node in'))
    assert.ok(member.lines.includes(`info: ${id} is let in now`))
    assert.equal(await leaver.node.ownRefusal(), undefined)
  })

  it('is one line of the log however often it knocks', async () => {
    const { node, lines } = await started({ admission: 'registered' })
    const stranger = await stacks.start({ services: { identify: identify() } })
    for (let knock = 0; knock < 100; knock++) {
      const connection = await stranger.dial(multiaddr(addressOf(node)))
      connection.abort(new Error('knocked'))
    }
    assert.equal(lines.filter((line) => line.includes(stranger.peerId.toString())).length, 1, lines.join('\n'))
  })

  it('is not dialled by libp2p itself before its delay has passed, and when a command asks for it at once', async () => {
    const refused = new RefusedPeers({ log: createLogger('silent', () => undefined) })
    const policy = new DialPolicy({ allowPrivate: true })
    const ours = await stacks.ours({ listen: ['/ip4/127.0.0.1/tcp/0'], policy, refused })
    const peer = await stacks.start({ services: { identify: identify() } })
    const address = stacks.addressOf(peer)
    refused.refused(peer.peerId, 'them', 'not registered')
    await ours.peerStore.merge(peer.peerId, { multiaddrs: [address] })
    await assert.rejects(ours.dial(peer.peerId))
    assert.equal(dials.to(Number(/\/tcp\/(\d+)/.exec(address.toString())?.[1])), 0)
    refused.retry('them')
    await ours.dial(peer.peerId)
  })

  it('that is of the template comes under the same rule, and is told of when it lets this node in', async () => {
    let isRefused = true
    const peer = await templatePeer(stacks, { refuses: () => isRefused, services: { identify: identify() } })
    const { node, lines } = await idle({ bootstrap: [peer.address] })
    const startedAtMs = performance.now()
    await node.start()
    await eventually(() => peer.handshakes() >= DIALS, `${DIALS} dials`, 30_000)
    assert.ok(performance.now() - startedAtMs >= LEAST_MS, 'the dials came too soon')
    isRefused = false
    const told = (end: RegExp): string[] => lines.filter((line) => end.test(line))
    await eventually(() => told(/lets this node in now$/).length > 0, 'it is told', 30_000)
    assert.equal(told(/^warn: bootstrap \S+ does not let this node in: the peer did not admit this node/).length, 1, lines.join('\n'))
    assert.deepEqual([...node.bootstrapRefusals, ...node.notices], [])
  })
})
