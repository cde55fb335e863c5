import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import type { HypertensorRegistry } from '../../../src/chain/drivers/hypertensor.ts'
import { createLogger } from '../../../src/primitives/log.ts'
import { AddressPublisher, checkPublishing } from '../../../src/session/address-publisher.ts'
import { HypertensorSetup } from '../../support/hypertensor-setup.ts'
import { NODE_1 } from '../../support/hypertensor-state.ts'
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

  function publisherOf(pauseMs?: number): AddressPublisher {
    const settings = { chain: `hypertensor:${chain.url}`, ownerKey }
    const log = createLogger('info', (line) => {
      logged.push(line)
      news.emit('line')
    })
    const own = (): typeof addresses => addresses
    const publisher = new AddressPublisher({ registry, settings, log, addresses: own as () => NonNullable<typeof PUBLIC>[], pauseMs })
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
    const publisher = publisherOf(50)
    publisher.changed()
    addresses = [OTHER]
    publisher.changed()
    await untilLogged(/published/, 2)
    assert.match(logged.filter((line) => /published/.test(line))[1] ?? '', /1\.2\.3\.5/)
    assert.equal(chain.pool.blocks.length, 2)
  })

  it('tells of a failure, goes on, and is stopped in the middle of it', async () => {
    own(chain.state, 1, '0x25451A4de12dcCc2D166922fA938E900fCc4ED24')
    publisherOf().changed()
    await untilLogged(/error: addresses not published: the chain refused it .*NotKeyOwner/)
    own(chain.state, 1)
    await chmod(ownerKey, 0o644)
    publisherOf().changed()
    await untilLogged(/error: addresses not published: owner key .* can be read by others/)
    await chmod(ownerKey, 0o600)
    chain.makesBlocks = false
    const stopped = publisherOf()
    stopped.changed()
    await untilLogged(/handed in/, 2)
    await stopped.stop()
    await stopped.stop()
    stopped.changed()
    assert.match(logged.at(-1) ?? '', /the node stops: transaction 0x[0-9a-f]{64} may have been included/)
  })

  it('needs a key and a yes only where it publishes, and where that costs a fee', async () => {
    const settings = { chain: `hypertensor:${chain.url}`, publish: true, ownerKey }
    await checkPublishing(settings, true)
    await checkPublishing({ ...settings, publish: false, ownerKey: undefined }, false)
    await checkPublishing({ ...settings, chain: 'ledger:', ownerKey: undefined }, false)
    for (const [changed, paysFees] of [
      [settings, false],
      [{ ...settings, ownerKey: undefined }, true],
    ] as const) {
      await assert.rejects(checkPublishing(changed, paysFees), {
        code: 'USAGE',
        message: /costs a fee/,
        hint: /--owner-key FILE and --yes/,
      })
    }
  })
})
