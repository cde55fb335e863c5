import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { Finding } from '../../src/cli/doctor/finding.ts'
import type { StatusAnswer } from '../../src/session/answers.ts'
import { Cli, type RunningNode } from '../support/cli.ts'
import { NetworkNamespace, whyNoFilter } from '../support/network-namespace.ts'

const OWN = '45.79.0.1'
const INSIDE = '10.0.0.7'
const SERVERS = ['45.80.0.1', '45.80.0.2']

const why = await whyNoFilter(`${OWN}/32`)

/** Skipped where it cannot be run, with the reason in its title. */
function inNamespaces(title: string, test: () => Promise<void>): void {
  if (why == null) {
    it(title, test)
  } else {
    it.skip(`${title} (not run: ${why})`, test)
  }
}

describe('what a node knows of its own reachability', function () {
  this.timeout(120_000)
  const cli = new Cli()
  /** With two nodes of the subnet, which dial back. */
  let internet: NetworkNamespace
  /** Of the node that asks. */
  let own: NetworkNamespace
  let servers: RunningNode[]

  beforeEach(async () => {
    internet = await NetworkNamespace.open()
    own = await internet.neighbour()
    for (const host of SERVERS) {
      await internet.addAddress(`${host}/24`)
    }
    servers = []
    for (const host of SERVERS) {
      servers.push(await cli.start(await cli.home(), ['--listen', `/ip4/${host}/tcp/4001`], { within: internet.within }))
    }
  })

  afterEach(async () => {
    await cli.clean()
    await own.close()
    await internet.close()
  })

  /** A node at this address, which peers see as `seen`. */
  async function start(host: string, seen: string): Promise<RunningNode> {
    await own.addAddress(`${host}/32`)
    await own.ip('route', 'add', '45.80.0.0/24', 'dev', 'e0', 'src', host)
    await internet.ip('route', 'add', `${host}/32`, 'dev', 'e0')
    if (seen !== host) {
      await internet.ip('route', 'add', `${seen}/32`, 'via', host)
    }
    const bootstraps = servers.flatMap(({ address }) => ['--bootstrap', address])
    return cli.start(await cli.home(), ['--listen', '/ip4/0.0.0.0/tcp/4001', ...bootstraps], { within: own.within })
  }

  /** The status of a node, once it has this verdict. */
  async function verdictOf(node: RunningNode, verdict: string): Promise<StatusAnswer> {
    const home = String(node.ready['home'])
    for (;;) {
      const status = (await cli.json(home, ['status'], { within: own.within })) as unknown as StatusAnswer
      if (status.reachability.verdict === verdict) {
        return status
      }
      await delay(200)
    }
  }

  /** What it knows of one address: the verdict, who said so, and what. */
  function knownOf({ reachability }: StatusAnswer, address: string): [verdict: string | undefined, said: string[]] {
    const found = reachability.addresses.find(({ multiaddr }) => multiaddr === address)
    return [
      found?.verdict,
      (found?.reports ?? []).map(({ peerId, outcome }) => `${outcome} by ${servers.findIndex((each) => each.peerId === peerId)}`),
    ]
  }

  inNamespaces('is that it is public after one dial-back to its public address, and who reached it', async () => {
    const node = await start(OWN, OWN)
    const status = await verdictOf(node, 'public')
    const [verdict, said] = knownOf(status, `/ip4/${OWN}/tcp/4001`)
    assert.equal(verdict, 'public')
    assert.match(said.join(), /^reached by [01]$/)
    const text = await cli.run(String(node.ready['home']), ['status'], { within: own.within })
    assert.match(text.stdout, /address +\/ip4\/45\.79\.0\.1\/tcp\/4001, public, reached by 12D3KooW\w{44} .* ago/)
  })

  inNamespaces('is that it is private where a firewall lets nobody in, after two peers have tried: it takes a relay', async () => {
    await own.nft('add table ip f; add chain ip f i { type filter hook input priority 0; }; add rule ip f i iifname e0 ct state new reject')
    const node = await start(OWN, OWN)
    const status = await verdictOf(node, 'private')
    const [verdict, said] = knownOf(status, `/ip4/${OWN}/tcp/4001`)
    assert.deepEqual([verdict, said.sort()], ['private', ['failed by 0', 'failed by 1']])
    const home = String(node.ready['home'])
    for (let told: string[] = []; !told.some((address) => address.includes('/p2p-circuit')); ) {
      told = (await cli.json<{ multiaddrs: string[] }>(home, ['id'], { within: own.within })).multiaddrs
    }
    const { findings } = await cli.json<{ findings: Finding[] }>(home, ['doctor'], { within: own.within })
    const about = (check: string, part: string): Finding | undefined =>
      findings.find((finding) => finding.check === check && finding.subject?.includes(part) === true)
    const address = about('address', OWN)
    assert.deepEqual([address?.state, address?.message.split(',')[0]], ['warning', 'not reached from outside'])
    assert.equal(about('relay', '/p2p-circuit')?.state, 'ok')
  })

  inNamespaces('is the address at which peers see it, where a router forwards the port: it announces that one', async () => {
    await own.nft(
      `add table ip n; add chain ip n o { type nat hook postrouting priority 100; }; add rule ip n o oifname e0 snat to ${OWN}; ` +
        `add chain ip n p { type nat hook prerouting priority -100; }; add rule ip n p ip daddr ${OWN} tcp dport 4001 dnat to ${INSIDE}`,
    )
    const status = await verdictOf(await start(INSIDE, OWN), 'public')
    assert.equal(knownOf(status, `/ip4/${OWN}/tcp/4001`)[0], 'public')
    assert.deepEqual(knownOf(status, `/ip4/${INSIDE}/tcp/4001`), ['private', []])
    const announced = status.multiaddrs
      .filter((address) => !address.includes('/p2p-circuit'))
      .map((address) => address.replace(/\/p2p\/.*/, ''))
    assert.deepEqual(announced, [`/ip4/${OWN}/tcp/4001`, `/ip4/${INSIDE}/tcp/4001`])
  })
})
