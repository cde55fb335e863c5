import assert from 'node:assert/strict'
import { join } from 'node:path'
import { peerIdFromString } from '@libp2p/peer-id'
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import { LedgerRegistry } from '../../src/index.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { Cli, type CliEvent, type RunningNode } from '../support/cli.ts'
import { newPeer } from '../support/keys.ts'
import { NetworkNamespace, whyNoNamespace } from '../support/network-namespace.ts'

const PUBLIC = '45.79.0.1'
const PRIVATE = '10.0.0.7'
const PUBLIC_6 = '2600:3c00::1'
const UNIQUE_LOCAL = 'fd00::7'
/** Networks of one address each: nothing else is on this link. */
const net = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`

const ANYWHERE = ['--listen', '/ip4/0.0.0.0/tcp/4001']
const ANYWHERE_6 = ['--listen', '/ip6/::/tcp/4001']

const refusal = await whyNoNamespace()
const refusal6 = refusal ?? (await whyNoNamespace(net(PUBLIC_6)))

/** Skipped where it cannot be run, with the reason in its title. */
function inNamespace(why: string | undefined, title: string, test: () => Promise<void>): void {
  if (why == null) {
    it(title, test)
  } else {
    it.skip(`${title} (not run, no network namespace here: ${why})`, test)
  }
}

function placesOf(multiaddrs: unknown): string[] {
  return (multiaddrs as string[]).map((text) => multiaddr(text).decapsulateCode(CODE_P2P).toString())
}

function at(host: string): string {
  return `/ip${host.includes(':') ? 6 : 4}/${host}/tcp/4001`
}

describe('the addresses that a node tells, in a network of its own', function () {
  this.timeout(90_000)
  const cli = new Cli()
  let network: NetworkNamespace
  let ledger: string

  beforeEach(async () => {
    network = await NetworkNamespace.open()
    ledger = join(await cli.folder(), 'ledger.db')
  })

  afterEach(async () => {
    await cli.clean()
    await network.close()
  })

  async function start(args: string[]): Promise<RunningNode> {
    return cli.start(await cli.home(), ['--chain', `ledger:${ledger}`, ...args], { within: network.within })
  }

  /** The beat of another in which it says these, heard by this one. */
  async function heardBy(node: RunningNode, other: RunningNode, places: string[]): Promise<void> {
    const says = ({ peerId, multiaddrs }: CliEvent): boolean => peerId === other.peerId && placesOf(multiaddrs).join() === places.join()
    await node.running.event('heartbeat', says)
  }

  /** Resolves once the ledger has these. */
  async function published(node: RunningNode, places: string[]): Promise<void> {
    const { privateKey } = await newPeer()
    const registry = new LedgerRegistry({ file: ledger, subnetId: 1, privateKey, log: createLogger('error', () => undefined) })
    const enough = new AbortController()
    const has = async (): Promise<boolean> => {
      const record = await registry.lookup(peerIdFromString(node.peerId))
      return placesOf((record?.multiaddrs ?? []).map(String)).join() === places.join()
    }
    try {
      const changes = registry.watch({ signal: enough.signal })[Symbol.asyncIterator]()
      while (!(await has())) {
        await changes.next()
      }
    } finally {
      enough.abort()
      await registry.close()
    }
  }

  /** That the node's own commands, its beats and the chain have these. */
  async function assertTold(node: RunningNode, listener: RunningNode, places: string[]): Promise<void> {
    const { within } = network
    await Promise.all([heardBy(listener, node, places), published(node, places)])
    const home = String(node.ready['home'])
    assert.deepEqual(placesOf((await cli.json(home, ['id'], { within }))['multiaddrs']), places)
    const lookup = await cli.json(await cli.home(), ['chain', 'lookup', node.peerId, '--chain', `ledger:${ledger}`], { within })
    assert.deepEqual(placesOf(lookup['multiaddrs']), places)
    const seen = await cli.json<Array<{ peerId: string; multiaddrs: string[] }>>(String(listener.ready['home']), ['peers', '--all'], {
      within,
    })
    assert.deepEqual(placesOf(seen.find(({ peerId }) => peerId === node.peerId)?.multiaddrs), places)
  }

  const machines: Array<{ title: string; has: string[]; tells: string[]; listen?: string[]; why?: string | undefined }> = [
    { title: 'are its public one, where it has no other', has: [PUBLIC], tells: [PUBLIC] },
    { title: 'are its private one, where it has no other', has: [PRIVATE], tells: [PRIVATE] },
    { title: 'are the public one and then the private one', has: [PRIVATE, PUBLIC], tells: [PUBLIC, PRIVATE] },
    {
      title: 'are those of IPv6 without the link-local ones, where it listens on that',
      has: [PUBLIC, UNIQUE_LOCAL, PUBLIC_6],
      listen: ANYWHERE_6,
      tells: [PUBLIC_6, UNIQUE_LOCAL],
      why: refusal6,
    },
    {
      title: 'are those of IPv4 and IPv6, the public ones first, where it listens on both',
      has: [PRIVATE, PUBLIC, UNIQUE_LOCAL, PUBLIC_6],
      listen: [...ANYWHERE, ...ANYWHERE_6],
      tells: [PUBLIC, PUBLIC_6, PRIVATE, UNIQUE_LOCAL],
      why: refusal6,
    },
  ]
  for (const { title, has, tells, listen = ANYWHERE, why = refusal } of machines) {
    inNamespace(why, title, async () => {
      for (const address of has) {
        await network.addAddress(net(address))
      }
      const listener = await start([])
      const node = await start([...listen, '--publish', '--bootstrap', listener.address])
      const places = tells.map(at)
      assert.deepEqual(placesOf(node.ready['multiaddrs']), places, 'at once')
      await assertTold(node, listener, places)
    })
  }

  inNamespace(refusal, 'follow an interface that gets an address, another, and loses the first, while the node runs', async () => {
    const listener = await start([])
    const node = await start([...ANYWHERE, '--publish', '--bootstrap', listener.address])
    await assertTold(node, listener, [at('127.0.0.1')])
    await network.addAddress(net(PUBLIC))
    await assertTold(node, listener, [at(PUBLIC)])
    await network.addAddress(net(PRIVATE))
    await assertTold(node, listener, [PUBLIC, PRIVATE].map(at))
    await network.removeAddress(net(PUBLIC))
    await assertTold(node, listener, [at(PRIVATE)])
  })

  inNamespace(refusal, 'are those that it was told to announce instead', async () => {
    await network.addAddress(net(PUBLIC))
    const listener = await start([])
    const announced = ['/ip4/10.0.0.9/tcp/9', '/dns4/peer.example.org/tcp/4001']
    const announce = announced.flatMap((address) => ['--announce', address])
    const node = await start([...ANYWHERE, ...announce, '--publish', '--bootstrap', listener.address])
    assert.deepEqual(placesOf(node.ready['multiaddrs']), announced, 'at once')
    await assertTold(node, listener, announced)
  })
})
