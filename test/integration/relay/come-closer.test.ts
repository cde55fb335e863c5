import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { SubnetNode } from '../../../src/index.ts'
import { isRelayed } from '../../../src/primitives/address-kind.ts'
import type { Reached } from '../../../src/protocol/api/host.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'
import { eventually } from '../../support/protocol-host.ts'

/** Nobody is there. */
const DEAD = '/ip4/127.0.0.1/tcp/1'

describe('a peer that is called over a relay', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const kadProtocol = `/test/${randomUUID()}/kad/1.0.0`
  /** Ends the task `wait`. */
  const over = new EventTarget()
  let relay: SubnetNode
  let hidden: SubnetNode

  afterEach(async () => lab.clean())

  /** @param allowPrivate whether the hidden node may dial the loopback address of its caller */
  async function open(allowPrivate: boolean): Promise<void> {
    relay = await lab.node({ settings: { relayService: 'on', kadProtocol } })
    hidden = await lab.idle({
      handler: async ({ taskId, payload }, { signal }) => {
        if (taskId === 'wait') {
          await once(over, 'over', { signal })
        }
        return payload.map((byte) => byte + 1)
      },
      settings: { listen: ['/ip4/127.0.0.1/tcp/0'], announce: [DEAD], bootstrap: [addressOf(relay)], kadProtocol, allowPrivate },
    })
    const reached = event(hidden, 'addresses', ({ multiaddrs }) => multiaddrs.some((address) => address.includes('/p2p-circuit')))
    await hidden.start()
    await reached
  }

  async function caller(): Promise<SubnetNode> {
    return lab.node({ settings: { bootstrap: [addressOf(relay)], kadProtocol } })
  }

  /** What a task used: `relayed` or `direct`. */
  async function way(from: SubnetNode, taskId = 'one'): Promise<string> {
    let used: Reached | undefined
    const onReached = (reached: Reached): void => {
      used = reached
    }
    const { result } = await from.tasks.sendTask(hidden.peerId, taskId, Uint8Array.of(1, 2), { onReached })
    assert.deepEqual([...result], [2, 3])
    assert.ok(used != null)
    return isRelayed(used.connection.remoteAddr) ? 'relayed' : 'direct'
  }

  function ways(from: SubnetNode, to: SubnetNode): string[] {
    return from.connections
      .filter(({ remotePeer, status }) => remotePeer.equals(to.peerId) && status === 'open')
      .map(({ remoteAddr }) => (isRelayed(remoteAddr) ? 'relayed' : 'direct'))
      .sort()
  }

  it('dials its caller directly; a call that began on the relay ends there, and the next takes the direct connection', async () => {
    await open(true)
    const from = await caller()
    const running = way(from, 'wait')
    await eventually(() => ways(from, hidden).join() === 'direct,relayed', 'there is a direct connection too', 30_000)
    assert.equal(await way(from), 'direct')
    assert.deepEqual(ways(from, hidden), ['direct', 'relayed'])
    over.dispatchEvent(new Event('over'))
    assert.equal(await running, 'relayed')
    await eventually(() => ways(from, hidden).join() === 'direct', 'the connection over the relay is closed', 20_000)
    await eventually(() => ways(hidden, from).join() === 'direct', 'at both ends')
    assert.equal(await way(from), 'direct')
    await eventually(() => relay.stats.relay?.circuits === 0, 'the relay carries nothing any more')
    assert.equal(hidden.multiaddrs.some(isRelayed), true, 'it keeps its place')
  })

  it('stays on the relay where its dial policy does not allow the addresses of its caller', async () => {
    await open(false)
    const from = await caller()
    assert.equal(await way(from), 'relayed')
    assert.equal(await way(from), 'relayed')
    assert.deepEqual(ways(from, hidden), ['relayed'])
  })
})
