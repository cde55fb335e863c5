import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import type { HypertensorRegistry } from '../../../src/chain/drivers/hypertensor.ts'
import type { PublishPlan } from '../../../src/chain/registry.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import type { UsageError } from '../../../src/primitives/errors.ts'
import { AddressPublisher, checkPublishing } from '../../../src/session/address-publisher.ts'
import type { PaceOptions } from '../../../src/session/publish-pace.ts'
import { HypertensorSetup } from '../../support/hypertensor-setup.ts'
import { NODE_1, SUBNET } from '../../support/hypertensor-state.ts'
import { OWNER_KEY, own } from '../../support/owner.ts'
import type { StandInChain } from '../../support/stand-in-chain.ts'
import { TempFolders } from '../../support/temp.ts'

const [LOOPBACK, PRIVATE, PUBLIC, OTHER] = ['127.0.0.1', '10.0.0.7', '1.2.3.4', '1.2.3.5'].map((ip) => multiaddr(`/ip4/${ip}/tcp/1`))

describe('a node that publishes by itself on a chain that takes fees', () => {
  const setup = new HypertensorSetup()
  const folders = new TempFolders()
  const logged: string[] = []
  const news = new EventEmitter()
  let chain: StandInChain
  let registry: HypertensorRegistry
  let ownerKey: string
  let addresses = [LOOPBACK, PRIVATE, PUBLIC]
  const publishers: AddressPublisher[] = []

  beforeEach(async () => {
    chain = await setup.chain()
    own(chain.state, 1)
    registry = setup.registry(chain, { self: NODE_1 })
    ownerKey = join(await folders.make(), 'owner.key')
    await writeFile(ownerKey, OWNER_KEY, { mode: 0o600 })
    addresses = [LOOPBACK, PRIVATE, PUBLIC]
    logged.length = 0
  })

  afterEach(async () => {
    await Promise.all(publishers.splice(0).map(async (publisher) => publisher.stop()))
    await setup.clean()
    await folders.clean()
  })

  function publisherOf(pace?: Partial<PaceOptions>): AddressPublisher {
    const settings = { chain: `hypertensor:${chain.url}`, subnetId: SUBNET, ownerKey, listen: [], announce: [] }
    const log = createLogger('info', (line) => {
      logged.push(line)
      news.emit('line')
    })
    const own = (): typeof addresses => addresses
    const publisher = new AddressPublisher({
      registry,
      settings,
      peerId: NODE_1,
      log,
      addresses: own as () => NonNullable<typeof PUBLIC>[],
      pace,
    })
    publishers.push(publisher)
    return publisher
  }

  async function untilLogged(text: RegExp, times = 1): Promise<void> {
    while (logged.filter((line) => text.test(line)).length < times) {
      await once(news, 'line')
    }
  }

  it('publishes what the whole world can dial, and says what it cost', async () => {
    publisherOf().changed()
    await untilLogged(
      /warn: published \/ip4\/1\.2\.3\.4\/tcp\/1\/p2p\/12D3.* at block \d+, transaction 0x[0-9a-f]{64}, for a fee of \d+ planck/,
    )
  })

  it('pays nothing where the chain has the address, however often it changes to and fro', async () => {
    const publisher = publisherOf()
    publisher.changed()
    await untilLogged(/published/)
    for (const address of [OTHER, PUBLIC, OTHER]) {
      addresses = [address]
      publisher.changed()
    }
    await publisher.stop()
    assert.equal(chain.pool.blocks.length, 1)
    assert.ok(!logged.some((line) => line.startsWith('error')))
  })

  it('publishes the newest once the pause is over', async () => {
    const publisher = publisherOf({ settleMs: 0, burst: 1, pauseMs: 50 })
    publisher.changed()
    await untilLogged(/submitted transaction/)
    addresses = [OTHER]
    publisher.changed()
    await untilLogged(/published/, 2)
    assert.match(logged.filter((line) => /published/.test(line))[1] ?? '', /1\.2\.3\.5/)
    assert.equal(chain.pool.blocks.length, 2)
  })

  it('tells of a failure, goes on, and is stopped in the middle of it', async () => {
    own(chain.state, 1, '0x25451A4de12dcCc2D166922fA938E900fCc4ED24')
    publisherOf().changed()
    await untilLogged(/error: addresses not published: 0x\w+ is not the owner of node 1 .* nothing was sent/)
    own(chain.state, 1)
    await chmod(ownerKey, 0o644)
    publisherOf().changed()
    await untilLogged(
      /error: addresses not published: owner key .* can be read by others.*; on a machine that has the key, run: subnet chain publish \/ip4\/1\.2\.3\.4\/tcp\/1\/p2p\/12D3\w+ --chain hypertensor:ws:\S+ --subnet-id 128001 --owner-key FILE/,
    )
    await chmod(ownerKey, 0o600)
    chain.makesBlocks = false
    const stopped = publisherOf()
    stopped.changed()
    await untilLogged(/submitted transaction/)
    await stopped.stop()
    await stopped.stop()
    stopped.changed()
    assert.match(logged.at(-1) ?? '', /the node stops: transaction 0x[0-9a-f]{64} may have been included/)
  })

  it('does what failed before once it can be done, with nobody asking', async () => {
    await chmod(ownerKey, 0o644)
    const publisher = publisherOf()
    publisher.changed()
    await untilLogged(/error: addresses not published: owner key .* can be read by others/)
    assert.deepEqual([publisher.problem?.code, publisher.problem?.severity], ['USAGE', 'error'])
    await chmod(ownerKey, 0o600)
    await untilLogged(/warn: published/)
    assert.equal(publisher.problem, undefined)
    assert.equal(chain.pool.blocks.length, 1)
  })

  it('does not pay for what cannot be checked, nor for what waits already', async () => {
    chain.makesBlocks = false
    const first = publisherOf()
    first.changed()
    await untilLogged(/submitted transaction/)
    publisherOf().changed()
    await untilLogged(/transaction 0x[0-9a-f]{64} already publishes \/ip4\/1\.2\.3\.4.* and waits for its block: nothing was sent/)
    chain.nextBlock()
    await untilLogged(/published/)
    addresses = [OTHER]
    const publish = registry.publish.bind(registry)
    registry.publish = async (multiaddrs, options) => {
      const approve = async (plan: PublishPlan): Promise<boolean> =>
        options?.approve?.({ ...plan, unchecked: 'the owner is not known' }) ?? false
      return publish(multiaddrs, { ...options, approve })
    }
    publisherOf().changed()
    await untilLogged(/error: addresses not published: the owner is not known: a node cannot ask for consent/)
    assert.equal(chain.pool.blocks.length, 1)
  })

  it('needs a key and a yes only where it publishes, and where that costs a fee; else it says what to run where the key is', async () => {
    const settings = { chain: `hypertensor:${chain.url}`, subnetId: SUBNET, publish: true, ownerKey, announce: [] }
    const peerId = async (): Promise<typeof NODE_1> => NODE_1
    await checkPublishing(settings, true, peerId)
    await checkPublishing({ ...settings, publish: false, ownerKey: undefined }, false, peerId)
    await checkPublishing({ ...settings, chain: 'ledger:', ownerKey: undefined }, false, peerId)
    const command = (address: string, endpoint = chain.url): string =>
      `subnet chain publish ${address}/p2p/${NODE_1.toString()} --chain hypertensor:${endpoint} --subnet-id ${SUBNET} --owner-key FILE`
    for (const [changed, paysFees, elsewhere] of [
      [settings, false, command('MULTIADDR')],
      [{ ...settings, ownerKey: undefined }, true, command('MULTIADDR')],
      [{ ...settings, ownerKey: undefined, announce: ['/ip4/10.0.0.7/tcp/1', '/ip4/1.2.3.4/tcp/1'] }, true, command('/ip4/1.2.3.4/tcp/1')],
      [
        { ...settings, ownerKey: undefined, chain: 'hypertensor:wss://user:pw@host/secret?k=1' },
        true,
        command('MULTIADDR', '<your endpoint>'),
      ],
    ] as const) {
      await assert.rejects(checkPublishing({ ...changed, announce: [...changed.announce] }, paysFees, peerId), (error: UsageError) => {
        assert.match(error.message, /costs a fee/)
        assert.ok(error.hint?.includes(elsewhere), error.hint)
        assert.match(error.hint ?? '', /--owner-key FILE and --yes/)
        assert.ok(!error.hint?.includes('secret') && !error.hint?.includes('pw'))
        return error.code === 'USAGE'
      })
    }
  })
})
