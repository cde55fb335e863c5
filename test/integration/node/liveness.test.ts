import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { multiaddr } from '@multiformats/multiaddr'
import { composeNode } from '../../../src/node/compose.ts'
import { homeAt } from '../../../src/node/home/home.ts'
import { loadSettings } from '../../../src/node/home/load-settings.ts'
import { Liveness } from '../../../src/node/stack/liveness.ts'
import type { SubnetNode } from '../../../src/node/subnet-node.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import type { Destination } from '../../../src/protocol/api/host.ts'
import { newPeer } from '../../support/keys.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'
import { SilentProxy } from '../../support/silent-proxy.ts'

const echo = ({ payload }: { payload: Uint8Array }): Uint8Array => payload
/** A twentieth of a node's own: a connection is closed after 0.6 s of silence. */
const TICK_MS = 50

describe('a connection that carries nothing any more', function () {
  this.timeout(30_000)
  const lab = new Lab()
  const nodes: SubnetNode[] = []
  let proxy: SilentProxy
  let liveness: Liveness
  let asking: SubnetNode
  let answering: SubnetNode
  let through: Multiaddr

  beforeEach(async () => {
    answering = await lab.node({ handler: echo })
    const port = Number(/tcp\/(\d+)/.exec(addressOf(answering))?.[1])
    proxy = await SilentProxy.to(port)
    through = multiaddr(`/ip4/127.0.0.1/tcp/${proxy.port}/p2p/${answering.peerId.toString()}`)
    liveness = new Liveness({ tickMs: TICK_MS })
    asking = await asker(liveness)
  })

  afterEach(async () => {
    proxy.close()
    await Promise.all(nodes.splice(0).map(async (node) => node.stop()))
    await lab.clean()
  })

  async function asker(withThis: Liveness): Promise<SubnetNode> {
    const home = homeAt(await lab.folder())
    const { settings } = await loadSettings({ flags: { logLevel: 'error' }, env: {}, home })
    const { privateKey } = await newPeer()
    const log = createLogger('error', () => undefined)
    const node = await composeNode({ home, settings, privateKey, listen: [], agent: 'test', log, liveness: withThis })
    nodes.push(node)
    await node.start()
    return node
  }

  function connection(): Connection {
    const open = asking.connections.find(({ remotePeer }) => remotePeer.equals(answering.peerId))
    assert.ok(open != null)
    return open
  }

  async function inDoubt(open: Connection): Promise<void> {
    while (!liveness.inDoubt(open)) {
      assert.equal(open.status, 'open')
      await setTimeout(TICK_MS / 5)
    }
  }

  it('is closed, though the process only asks', async () => {
    await asking.connect(through)
    const gone = event(asking, 'peer:disconnect')
    proxy.silence()
    assert.equal((await gone).peerId, answering.peerId.toString())
  })

  it('ends the call that waits on it: the peer may have acted', async () => {
    const slow = await lab.node({ handler: () => new Promise<Uint8Array>(() => undefined) })
    const ways = await SilentProxy.to(Number(/tcp\/(\d+)/.exec(addressOf(slow))?.[1]))
    try {
      const address = multiaddr(`/ip4/127.0.0.1/tcp/${ways.port}/p2p/${slow.peerId.toString()}`)
      const reached = Promise.withResolvers<void>()
      const sending = asking.tasks.sendTask(address, 'task', Buffer.from('x'), { onReached: () => reached.resolve() })
      await reached.promise
      ways.silence()
      await assert.rejects(sending, (error) => error instanceof ProtocolError && error.code === 'REMOTE_FAILED' && error.mayHaveActed)
    } finally {
      ways.close()
    }
  })

  it('carries no call to an address once it is in doubt: the peer is dialled again', async () => {
    await replacedFor(() => through)
  })

  it('carries no call to a peer ID once it is in doubt: the peer is found again', async () => {
    const neighbour = await lab.node()
    const met = event(neighbour, 'peer:connect')
    await answering.connect(multiaddr(addressOf(neighbour)))
    await met
    await asking.connect(multiaddr(addressOf(neighbour)))
    await replacedFor(() => answering.peerId)
  })

  /** A call to it ends well, on another connection than the one that is in doubt. */
  async function replacedFor(to: () => Destination): Promise<void> {
    assert.ok((await asking.tasks.sendTask(through, 'first', Buffer.from('x'))).accepted)
    const before = connection()
    proxy.silence()
    await inDoubt(before)
    assert.ok((await asking.tasks.sendTask(to(), 'second', Buffer.from('x'))).accepted)
    assert.notEqual(before.status, 'open')
  }
})
