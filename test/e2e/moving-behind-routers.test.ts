import assert from 'node:assert/strict'
import { Cli, type RunningNode } from '../support/cli.ts'
import { NatLab } from '../support/nat-lab.ts'
import { type NetworkNamespace, whyNoFilter } from '../support/network-namespace.ts'
import { notRun } from '../support/not-run.ts'

const refusal = await whyNoFilter('45.79.0.2/24')

/** A connection that says nothing is given up after 12 s; a router tells nobody that it has lost a machine. */
const WITHIN_MS = 20_000

interface Machine extends RunningNode {
  network: NetworkNamespace
  home: string
}

describe('a peer behind a router that moves behind another', function () {
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

  async function publicNode(): Promise<RunningNode> {
    const { network, ip } = await lab.machine()
    return cli.start(await cli.home(), ['--listen', `/ip4/${ip}/tcp/4001`], { within: network.within })
  }

  async function hiddenNode(bootstraps: readonly RunningNode[]): Promise<Machine> {
    const network = await lab.behindRouter()
    const home = await cli.home()
    const listen = ['--listen', '/ip4/0.0.0.0/tcp/4001', '--handler', 'echo']
    const node = await cli.start(home, [...listen, ...bootstraps.flatMap(({ address }) => ['--bootstrap', address])], {
      within: network.within,
    })
    return Object.assign(node, { network, home })
  }

  async function heard(by: RunningNode, of: RunningNode, over: RunningNode): Promise<void> {
    await by.running.event(
      'heartbeat',
      ({ peerId, multiaddrs }) =>
        peerId === of.peerId && (multiaddrs as string[]).some((address) => address.startsWith(`${over.address}/p2p-circuit/`)),
    )
  }

  /** Calls until a call succeeds; which must be soon. */
  async function reachedAgain(call: () => ReturnType<Cli['run']>): Promise<void> {
    const sinceMs = performance.now()
    for (;;) {
      const { code, stdout, stderr } = await call()
      const ms = performance.now() - sinceMs
      assert.ok(ms < WITHIN_MS, stdout + stderr)
      if (code === 0) {
        return
      }
    }
  }

  for (const how of ['at once', 'once it was without any network for a while'] as const) {
    it(`is called by its peer ID alone within 20 s, by a node and by one that only asks: ${how}`, async () => {
      const relays = [await publicNode(), await publicNode()] as const
      const [a, b] = [await hiddenNode(relays), await hiddenNode(relays)]
      const guest = { network: (await lab.machine()).network, home: await cli.home() }
      for (const relay of relays) {
        await heard(a, b, relay)
      }
      const send = async ({ home, network }: { home: string; network: NetworkNamespace }, args: string[] = []): ReturnType<Cli['run']> =>
        cli.run(home, ['send-task', b.peerId, '--text', 'x', '--timeout', '15s', '--json', ...args], { within: network.within })
      const calls = [async () => send(a), async () => send(guest, ['--bootstrap', relays[0].address])]
      for (const call of calls) {
        assert.equal((await call()).code, 0)
      }
      await lab.unplug(b.network)
      if (how !== 'at once') {
        await Promise.all(
          [...relays, a].map(async ({ peerId }) => b.running.event('peer:disconnect', (event) => event['peerId'] === peerId)),
        )
      }
      await lab.plugIn(b.network)
      await Promise.all(calls.map(reachedAgain))
    })
  }
})
