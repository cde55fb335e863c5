import assert from 'node:assert/strict'
import { Cli, type RunningNode } from '../support/cli.ts'
import { NATS, type Nat, NatLab } from '../support/nat-lab.ts'
import type { NetworkNamespace } from '../support/network-namespace.ts'
import { whyNoFilter } from '../support/network-namespace.ts'
import { notRun } from '../support/not-run.ts'

const refusal = await whyNoFilter('45.79.0.2/24')

interface Sent {
  multiaddr: string
  attempts: Array<{ detail?: string }>
  timings: { totalMs: number }
}

type Hidden = RunningNode & { home: string; network: NetworkNamespace }

/** How a pair of a caller and a peer that is called ends up: always direct, over the relay for a moment first, or for good; or either, by chance. */
type Way = 'direct' | 'reversal' | 'hole punching' | 'relay' | 'chance'

function expected(caller: Nat, called: Nat): Way {
  if (called === 'full cone') {
    return 'direct'
  }
  if (caller === 'full cone') {
    return 'reversal'
  }
  if (caller === 'symmetric' || called === 'symmetric') {
    return 'relay'
  }
  // both sides dial at the same time: whether one of the two is early enough is a matter of luck
  return caller === 'answers RST' && called === 'answers RST' ? 'chance' : 'hole punching'
}

describe('a caller and a peer behind routers', function () {
  this.timeout(60_000)
  const cli = new Cli()
  let lab: NatLab
  let relay: RunningNode
  const callers = new Map<Nat, Hidden>()
  const called = new Map<Nat, Hidden>()

  before(async function () {
    if (refusal != null) {
      notRun(this, `no network namespace with nft here: ${refusal}`)
    }
    lab = await NatLab.open()
    const { network, ip } = await lab.machine()
    relay = await cli.start(await cli.home(), ['--listen', `/ip4/${ip}/tcp/4001`, '--relay-service', 'on'], { within: network.within })
    for (const nat of NATS) {
      callers.set(nat, await hidden(nat))
      called.set(nat, await hidden(nat))
    }
  })

  after(async () => {
    await cli.clean()
    await lab?.close()
  })

  async function hidden(nat: Nat): Promise<Hidden> {
    const network = await lab.behindRouter(nat)
    const home = await cli.home()
    const args = ['--listen', '/ip4/0.0.0.0/tcp/4001', '--handler', 'echo', '--bootstrap', relay.address, '--relay-service', 'off']
    const node = await cli.start(home, [...args, '--log-level', 'debug'], { within: network.within })
    await relay.running.event(
      'heartbeat',
      ({ peerId, multiaddrs }) =>
        peerId === node.peerId &&
        (multiaddrs as string[]).some((address) =>
          nat === 'full cone' ? address.startsWith('/ip4/45.79.') : address.startsWith(`${relay.address}/p2p-circuit/`),
        ),
    )
    return Object.assign(node, { home, network })
  }

  async function send(from: Hidden, to: Hidden): Promise<Sent> {
    return cli.json<Sent>(from.home, ['send-task', to.peerId, '--text', 'hello', '--timeout', '15s'], { within: from.network.within })
  }

  function isOverRelay({ multiaddr, attempts }: Sent): boolean {
    const isRelayed = multiaddr.startsWith(`${relay.address}/p2p-circuit/`)
    assert.equal(
      attempts.some(({ detail }) => detail?.endsWith(`over the relay ${relay.address}`)),
      isRelayed,
      JSON.stringify(attempts),
    )
    return isRelayed
  }

  /** Waits until the peer that was called has done what it can. */
  async function tried(from: Hidden, to: Hidden): Promise<void> {
    const lines = /a caller over a relay was dialled directly|a hole was punched to a caller over a relay|a caller stays on its relay/
    await to.running.says(new RegExp(`(${lines.source}).*${from.peerId}`))
  }

  for (const caller of NATS) {
    for (const to of NATS) {
      const way = expected(caller, to)
      it(`${caller} calls ${to}: ${way}`, async () => {
        const [from, peer] = [callers.get(caller) as Hidden, called.get(to) as Hidden]
        const first = await send(from, peer)
        assert.equal(isOverRelay(first), way !== 'direct')
        if (way === 'direct') {
          return
        }
        await tried(from, peer)
        const second = await send(from, peer)
        if (way !== 'chance') {
          assert.equal(isOverRelay(second), way === 'relay')
        }
      })
    }
  }

  it('goes on directly once the relayed connection is closed, both ways, and does not tell the hole as an address of the peer', async () => {
    const [from, peer] = [callers.get('keeps ports') as Hidden, called.get('keeps ports') as Hidden]
    await send(from, peer)
    await tried(from, peer)
    const closed = (of: Hidden): RegExp => new RegExp(`a connection that is not needed any more is closed.*p2p-circuit/p2p/${of.peerId}`)
    await from.running.says(closed(peer))
    const there = await send(from, peer)
    assert.deepEqual([isOverRelay(there), isOverRelay(await send(peer, from))], [false, false])
    const { multiaddrs } = await cli.json<{ multiaddrs: string[] }>(from.home, ['resolve', peer.peerId], { within: from.network.within })
    assert.ok(multiaddrs.includes(`${relay.address}/p2p-circuit/p2p/${peer.peerId}`), multiaddrs.join())
    assert.ok(!multiaddrs.includes(there.multiaddr), multiaddrs.join())
  })
})
