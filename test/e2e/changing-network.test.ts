import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { peerIdFromString } from '@libp2p/peer-id'
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import { LedgerRegistry } from '../../src/index.ts'
import { createLogger } from '../../src/observe/logger.ts'
import type { StatusAnswer } from '../../src/session/answers.ts'
import { Cli, type CliEvent, type RunningNode } from '../support/cli.ts'
import { SUBNET } from '../support/hypertensor-state.ts'
import { newPeer } from '../support/keys.ts'
import { NetworkNamespace, whyNoNamespace } from '../support/network-namespace.ts'
import { notRun } from '../support/not-run.ts'
import { OWNER_KEY } from '../support/owner.ts'

const refusal = await whyNoNamespace('10.0.0.2/24')
const STAND_IN = fileURLToPath(new URL('../support/stand-in-process.ts', import.meta.url))
const LISTEN = ['--listen', '/ip4/0.0.0.0/tcp/4001']
const HUB = '10.0.0.1'

function placesOf(multiaddrs: unknown): string[] {
  return (multiaddrs as string[]).map((text) => multiaddr(text).decapsulateCode(CODE_P2P).toString())
}

function at(host: string): string {
  return `/ip4/${host}/tcp/4001`
}

describe('a node whose network comes late, changes and goes', function () {
  this.timeout(120_000)
  const cli = new Cli()
  /** Both take their time: at once. */
  let moving: Promise<void>
  let paying: Promise<void>

  before(function () {
    if (refusal != null) {
      notRun(this, `no network namespace here: ${refusal}`)
    }
    moving = inNetworks(move)
    paying = inNetworks(pay)
    for (const outcome of [moving, paying]) {
      outcome.catch(() => undefined)
    }
  })

  after(async () => cli.clean())

  /** In a network without an address, and one beyond it, with the address of `HUB`. */
  async function inNetworks(run: (network: NetworkNamespace, beyond: NetworkNamespace) => Promise<void>): Promise<void> {
    const network = await NetworkNamespace.open()
    const beyond = await network.neighbour()
    try {
      await beyond.addAddress(`${HUB}/24`)
      await run(network, beyond)
    } finally {
      await beyond.close()
      await network.close()
    }
  }

  async function status(node: RunningNode, network: NetworkNamespace): Promise<StatusAnswer> {
    const { stdout } = await cli.run(String(node.ready['home']), ['status', '--json'], { within: network.within })
    return JSON.parse(stdout) as StatusAnswer
  }

  async function move(network: NetworkNamespace, beyond: NetworkNamespace): Promise<void> {
    const ledger = join(await cli.folder(), 'ledger.db')
    const chain = ['--chain', `ledger:${ledger}`]
    const hub = await cli.start(await cli.home(), [...chain, ...LISTEN], { within: beyond.within })
    // only a change makes it beat again
    const beats = ['--heartbeat-interval', '10m']
    const node = await cli.start(await cli.home(), [...chain, ...LISTEN, ...beats, '--publish', '--bootstrap', hub.address], {
      within: network.within,
    })
    assert.deepEqual(placesOf(node.ready['multiaddrs']), [at('127.0.0.1')])
    const { privateKey } = await newPeer()
    const registry = new LedgerRegistry({ file: ledger, subnetId: 1, privateKey, log: createLogger('error', () => undefined) })

    /** Resolves once the ledger has this place, and the hub has heard a beat with it. */
    async function isAt(place: string): Promise<void> {
      const enough = new AbortController()
      const says = ({ peerId, multiaddrs }: CliEvent): boolean => peerId === node.peerId && placesOf(multiaddrs).join() === place
      const published = async (): Promise<void> => {
        const changes = registry.watch({ signal: enough.signal })[Symbol.asyncIterator]()
        const has = async (): Promise<boolean> =>
          placesOf((await registry.lookup(peerIdFromString(node.peerId))).multiaddrs.map(String)).join() === place
        while (!(await has())) {
          await changes.next()
        }
      }
      try {
        await Promise.all([hub.running.event('heartbeat', says), published()])
      } finally {
        enough.abort()
      }
    }

    try {
      await network.addAddress('10.0.0.2/24')
      await isAt(at('10.0.0.2'))
      await network.removeAddress('10.0.0.2/24')
      await network.addAddress('10.0.0.3/24')
      await isAt(at('10.0.0.3'))
      assert.deepEqual((await status(node, network)).problems, [])
    } finally {
      await registry.close()
    }
  }

  async function pay(network: NetworkNamespace, beyond: NetworkNamespace): Promise<void> {
    const home = await cli.home()
    const ownerKey = join(home, 'owner.key')
    await writeFile(ownerKey, OWNER_KEY, { mode: 0o600 })
    const { peerId } = await cli.json(home, ['id'])
    const [program = '', ...entering] = beyond.within
    const chain = spawn(program, [...entering, process.execPath, STAND_IN, HUB, String(peerId)], { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      const [url] = await once(chain.stdout, 'data')
      const node = await cli.start(
        home,
        [
          ...LISTEN,
          '--chain',
          `hypertensor:${String(url).trim()}`,
          '--subnet-id',
          String(SUBNET),
          '--publish',
          '--yes',
          '--owner-key',
          ownerKey,
        ],
        { within: network.within },
      )
      const { problems } = await status(node, network)
      assert.deepEqual(
        problems.map(({ code, severity }) => `${code} ${severity}`),
        ['CHAIN_UNAVAILABLE error', 'UNREACHABLE error'],
      )
      assert.match(problems[1]?.message ?? '', /^the node has no address to publish/)
      await network.addAddress('10.0.0.2/24')
      await node.running.says(/published \/ip4\/10\.0\.0\.2\/.* at block/)
      await network.removeAddress('10.0.0.2/24')
      await network.addAddress('10.0.0.3/24')
      await node.running.says(/published \/ip4\/10\.0\.0\.3\/.* at block/)
      assert.ok(!(await status(node, network)).problems.some(({ message }) => /publish/.test(message)))
    } finally {
      chain.kill()
      await once(chain, 'close')
    }
  }

  it('is found in beats and on the ledger where it is now, though its connections broke with the old address', async () => moving)

  it('starts without its chain, says so, and pays for the address that it gets, and for the next, though the connection to the chain broke', async () =>
    paying)
})
