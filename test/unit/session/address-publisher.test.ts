import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { ChainRegistry, PublishedRecord } from '../../../src/chain/registry.ts'
import { createLogger } from '../../../src/primitives/log.ts'
import { AddressPublisher } from '../../../src/session/address-publisher.ts'
import { newPeer } from '../../support/keys.ts'
import { OWNER_KEY } from '../../support/owner.ts'
import { TempFolders } from '../../support/temp.ts'

const [PUBLIC, OTHER, PRIVATE] = ['45.79.0.1', '45.79.0.2', '10.0.0.7'].map((ip) => multiaddr(`/ip4/${ip}/tcp/1`)) as [
  Multiaddr,
  Multiaddr,
  Multiaddr,
]

describe('a node that publishes by itself where that costs a fee', () => {
  const folders = new TempFolders()
  const news = new EventEmitter()
  let published: string[]
  let own: Multiaddr[]
  let publisher: AddressPublisher
  let settings: { chain: string; subnetId: number; ownerKey: string }

  beforeEach(async () => {
    published = []
    const ownerKey = join(await folders.make(), 'owner.key')
    await writeFile(ownerKey, OWNER_KEY, { mode: 0o600 })
    settings = { chain: 'hypertensor:ws://127.0.0.1:9', subnetId: 1, ownerKey }
  })

  afterEach(async () => {
    await publisher.stop()
    await folders.clean()
  })

  async function open(pauseMs: number): Promise<void> {
    const { peerId } = await newPeer()
    const chain: Pick<ChainRegistry, 'publish'> = {
      publish: async ([best]): Promise<PublishedRecord> => {
        published.push(String(best))
        // nothing paid: only what was published holds the next change back
        setImmediate(() => news.emit('published'))
        return { peerId, multiaddrs: [best as Multiaddr], verified: false, seq: 0n, block: 1, stale: false, readAtMs: 0 }
      },
    }
    const log = createLogger('silent', () => undefined)
    publisher = new AddressPublisher({ registry: chain as ChainRegistry, settings, peerId, log, addresses: () => own, pauseMs })
  }

  function changeTo(...addresses: Multiaddr[]): void {
    own = addresses
    publisher.changed()
  }

  it('does not pay for a public address that is away for a moment', async () => {
    await open(600_000)
    const first = once(news, 'published')
    changeTo(PUBLIC)
    await first
    const second = once(news, 'published')
    changeTo(PRIVATE)
    changeTo(PRIVATE, OTHER)
    await second
    assert.deepEqual(published, [PUBLIC, OTHER].map(String))
  })

  it('publishes the private address once the public one stays away', async () => {
    await open(20)
    for (const addresses of [[PUBLIC], [PRIVATE]]) {
      const next = once(news, 'published')
      changeTo(...addresses)
      await next
    }
    assert.deepEqual(published, [PUBLIC, PRIVATE].map(String))
  })
})
