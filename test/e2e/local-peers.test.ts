import assert from 'node:assert/strict'
import { Cli } from '../support/cli.ts'
import { NetworkNamespace, whyNoNamespace } from '../support/network-namespace.ts'

const [HERE, THERE] = ['10.7.0.1', '10.7.0.2']
const MULTICAST = '224.0.0.0/4'
const NOBODY = '12D3KooWPXmP4iPM6e3Mz9WtXCmzmkcZNS8z4DHiUVLV5bYJwwa3'

const refusal = await whyNoNamespace(`${HERE}/24`)

function inNamespaces(title: string, test: () => Promise<void>): void {
  if (refusal == null) {
    it(title, test)
  } else {
    it.skip(`${title} (not run, no network namespace here: ${refusal})`, test)
  }
}

describe('start --mdns', function () {
  this.timeout(90_000)
  const cli = new Cli()
  let here: NetworkNamespace
  let there: NetworkNamespace

  beforeEach(async function () {
    if (refusal != null) {
      this.skip()
    }
    here = await NetworkNamespace.open()
    there = await here.neighbour()
    await here.addAddress(`${HERE}/24`)
    await there.addAddress(`${THERE}/24`)
  })

  afterEach(async () => {
    await cli.clean()
    await there?.close()
    await here?.close()
  })

  inNamespaces('finds a peer of the same network without a bootstrap, and calls it by its ID', async () => {
    await here.ip('route', 'add', MULTICAST, 'dev', 'e0')
    await there.ip('route', 'add', MULTICAST, 'dev', 'e0')
    const args = (host: string): string[] => ['--listen', `/ip4/${host}/tcp/4001`, '--mdns']
    const peer = await cli.start(await cli.home(), [...args(THERE), '--handler', 'upper'], { within: there.within })
    const home = await cli.home()
    const caller = await cli.start(home, args(HERE), { within: here.within })
    // each is alone until it hears the other
    await caller.running.event('peer:connect', ({ peerId }) => peerId === peer.peerId)
    const found = await cli.run(home, ['resolve', peer.peerId, '--tier', 'local', '--json'], { within: here.within })
    const { source, multiaddrs, attempts } = JSON.parse(found.stdout)
    assert.deepEqual([source, multiaddrs], ['local', [peer.address]], found.stdout)
    assert.deepEqual(
      attempts.map(({ tier, outcome }: Record<string, string>) => `${tier} ${outcome}`),
      ['local hit', 'gossip skipped', 'neighbour skipped', 'chain skipped'],
    )
    const task = await cli.run(home, ['send-task', peer.peerId, '--text', 'hello'], { within: here.within })
    assert.deepEqual([task.code, task.stdout.trim()], [0, 'HELLO'])
  })

  inNamespaces('says once that there is no route for multicast, and goes on', async () => {
    const node = await cli.start(await cli.home(), ['--listen', `/ip4/${HERE}/tcp/4001`, '--mdns'], { within: here.within })
    const { stderr } = await node.stop()
    assert.equal(stderr.match(/a route for multicast/g)?.length, 1, stderr)
  })

  inNamespaces('is off unless it is asked for: no attempt has a row of it', async () => {
    const home = await cli.home()
    await cli.start(home, ['--listen', `/ip4/${HERE}/tcp/4001`], { within: here.within })
    const { code, stdout } = await cli.run(home, ['resolve', NOBODY, '--json'], { within: here.within })
    assert.equal(code, 3)
    assert.deepEqual(
      JSON.parse(stdout).error.attempts.map(({ tier }: Record<string, string>) => tier),
      ['gossip', 'neighbour', 'chain'],
    )
    const asked = await cli.run(home, ['resolve', NOBODY, '--tier', 'local', '--json'], { within: here.within })
    assert.deepEqual([asked.code, /unknown tier/.test(asked.stdout)], [2, true], asked.stdout)
  })
})
