import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, type RunningNode } from '../support/cli.ts'
import { NatLab } from '../support/nat-lab.ts'
import type { NetworkNamespace } from '../support/network-namespace.ts'
import { whyNoFilter } from '../support/network-namespace.ts'
import { notRun } from '../support/not-run.ts'

const refusal = await whyNoFilter('45.79.0.2/24')
const LISTEN = ['--listen', '/ip4/0.0.0.0/tcp/4001']

interface Sent {
  peerId: string
  source: string
  multiaddr: string
  attempts: Array<{ tier: string; outcome: string; detail: string }>
  timings: { totalMs: number }
}

describe('peers behind routers', function () {
  this.timeout(180_000)
  const cli = new Cli()
  let lab: NatLab

  before(async function () {
    if (refusal != null) {
      notRun(this, `no network namespace with nft here: ${refusal}`)
    }
    lab = await NatLab.open()
  })

  after(async () => {
    await cli.clean()
    await lab?.close()
  })

  async function publicNode(config: object = {}, args: string[] = []): Promise<RunningNode & { ip: string }> {
    const { network, ip } = await lab.machine()
    const node = await cli.start(await cli.home(config), ['--listen', `/ip4/${ip}/tcp/4001`, ...args], { within: network.within })
    return Object.assign(node, { ip })
  }

  /** Behind a router through which no hole is punched: what begins on a relay stays there. */
  async function hiddenNode(bootstraps: RunningNode[]): Promise<RunningNode & { network: NetworkNamespace; home: string }> {
    const network = await lab.behindRouter('symmetric')
    const home = await cli.home()
    const args = [...LISTEN, '--handler', 'echo', ...bootstraps.flatMap(({ address }) => ['--bootstrap', address])]
    return Object.assign(await cli.start(home, args, { within: network.within }), { network, home })
  }

  /** Until a heartbeat of the peer tells that it has these addresses. */
  async function heard(by: RunningNode, of: RunningNode, over: RunningNode): Promise<void> {
    await by.running.event(
      'heartbeat',
      ({ peerId, multiaddrs }) =>
        peerId === of.peerId && (multiaddrs as string[]).some((address) => address.startsWith(`${over.address}/p2p-circuit/`)),
    )
  }

  async function send(from: { home: string; network: NetworkNamespace }, to: RunningNode, args = ['--text', 'hello']): Promise<Sent> {
    return cli.json<Sent>(from.home, ['send-task', to.peerId, ...args, '--timeout', '15s'], { within: from.network.within })
  }

  it('call each other by peer ID alone through a public node', async () => {
    const relay = await publicNode()
    const [a, b] = [await hiddenNode([relay]), await hiddenNode([relay])]
    await heard(relay, b, relay)
    await heard(relay, a, relay)
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const sent = await send(from, to)
      assert.equal(sent.multiaddr, `${relay.address}/p2p-circuit/p2p/${to.peerId}`)
      assert.ok(
        sent.attempts.some(({ detail }) => detail.endsWith(`over the relay ${relay.address}`)),
        JSON.stringify(sent.attempts),
      )
    }
  })

  it('go on with another relay when theirs dies', async () => {
    const [first, second] = [await publicNode(), await publicNode()]
    const [a, b] = [await hiddenNode([first, second]), await hiddenNode([first, second])]
    await heard(a, b, first)
    await heard(a, b, second)
    await send(a, b)
    await first.running.signal('SIGKILL')
    const sent = await send(a, b)
    assert.equal(sent.multiaddr, `${second.address}/p2p-circuit/p2p/${b.peerId}`)
  })

  it('find a relay that nobody named to them when their only one dies', async () => {
    const first = await publicNode()
    const second = await publicNode({}, ['--bootstrap', first.address])
    const [a, b] = [await hiddenNode([first]), await hiddenNode([first])]
    await heard(a, b, first)
    await first.running.signal('SIGKILL')
    await heard(a, b, second)
    const sent = await send(a, b)
    assert.equal(sent.multiaddr, `${second.address}/p2p-circuit/p2p/${b.peerId}`)
  })

  it('send 16 MiB through a relay with raised limits', async () => {
    const relay = await publicNode({ relayBytes: 2 ** 30 })
    const [a, b] = [await hiddenNode([relay]), await hiddenNode([relay])]
    await heard(a, b, relay)
    const folder = await cli.folder()
    const payload = randomBytes(16 << 20)
    await writeFile(join(folder, 'payload'), payload)
    const { bytes, code, stderr } = await cli.run(a.home, ['send-task', b.peerId, '--payload', join(folder, 'payload')], {
      within: a.network.within,
    })
    assert.equal(code, 0, stderr)
    assert.ok(bytes.equals(payload))
  })
})
