import assert from 'node:assert/strict'
import { Cli, type RunningNode } from '../support/cli.ts'
import { NetworkNamespace, whyNoNamespace } from '../support/network-namespace.ts'

/** Hosts of the test's network: the bootstrap, a peer that others are told of, and one that calls it. */
const [HUB, PEER, CALLER] = ['45.79.0.1', '45.79.0.2', '45.79.0.3']
/** Inside a network of this machine, and in none. */
const NEAR = '10.1.0.2'
const FAR = '10.9.0.2'

const refusal = await whyNoNamespace()

function inNamespace(title: string, test: () => Promise<void>): void {
  if (refusal == null) {
    it(title, test)
  } else {
    it.skip(`${title} (not run, no network namespace here: ${refusal})`, test)
  }
}

describe('an address that a stranger named, over connections between public addresses', function () {
  this.timeout(90_000)
  const cli = new Cli()
  let network: NetworkNamespace
  let hub: RunningNode

  beforeEach(async () => {
    network = await NetworkNamespace.open()
    for (const address of [HUB, PEER, CALLER, NEAR]) {
      await network.addAddress(`${address}/24`)
    }
    hub = await start([`/ip4/${HUB}/tcp/4001`])
  })

  afterEach(async () => {
    await cli.clean()
    await network.close()
  })

  async function start(listen: string[], args: string[] = [], env: NodeJS.ProcessEnv = {}, home?: string): Promise<RunningNode> {
    const listening = listen.flatMap((address) => ['--listen', address])
    return cli.start(home ?? (await cli.home()), [...listening, '--heartbeat-interval', '500ms', ...args], { within: network.within, env })
  }

  /** A peer that announces these places: others hear of it by gossip alone, as its DHT is another one. */
  async function peerAt(listen: string[], ...announced: string[]): Promise<RunningNode> {
    const announcing = announced.flatMap((place) => ['--announce', place])
    const args = ['--handler', 'echo', '--bootstrap', hub.address, ...announcing]
    return start(listen, args, { SUBNET_KAD_PROTOCOL: '/another/kad/1.0.0' })
  }

  /** What becomes of a task from a node that heard the peer's beat. */
  async function call(peer: RunningNode, args: string[] = []): Promise<{ code: number | null; answer: Record<string, never> }> {
    const home = await cli.home()
    const caller = await start([`/ip4/${CALLER}/tcp/4003`], ['--bootstrap', hub.address, ...args], {}, home)
    await caller.running.event('heartbeat', ({ peerId }) => peerId === peer.peerId)
    const { code, stdout } = await cli.run(home, ['send-task', peer.peerId, '--text', 'hello', '--json'], { within: network.within })
    return { code, answer: JSON.parse(stdout) }
  }

  inNamespace('is dialled where it is public', async () => {
    const { code, answer } = await call(await peerAt([`/ip4/${PEER}/tcp/4002`]))
    assert.equal(code, 0)
    assert.equal(answer['source'], 'gossip')
  })

  inNamespace('is dialled where it is in a network of this machine', async () => {
    assert.equal((await call(await peerAt([`/ip4/${NEAR}/tcp/4002`]))).code, 0)
  })

  inNamespace('is not dialled where it is loopback, though the peer listens there', async () => {
    const { code, answer } = await call(await peerAt(['/ip4/127.0.0.1/tcp/4002']))
    assert.equal(code, 4)
    assert.match(JSON.stringify(answer), /127\.0\.0\.1 is an address of this machine, announced by another machine/)
    assert.match(JSON.stringify(answer), /--allow-private/)
  })

  inNamespace('is dialled where it is loopback, with --allow-private', async () => {
    assert.equal((await call(await peerAt(['/ip4/127.0.0.1/tcp/4002']), ['--allow-private'])).code, 0)
  })

  inNamespace('is not dialled where it is private and elsewhere', async () => {
    const { code, answer } = await call(await peerAt([`/ip4/${PEER}/tcp/4002`], `/ip4/${FAR}/tcp/4002`))
    assert.equal(code, 4)
    assert.match(JSON.stringify(answer), /10\.9\.0\.2 is a private address outside the networks of this machine/)
  })
})
