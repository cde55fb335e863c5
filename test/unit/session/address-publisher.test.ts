import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mock } from 'node:test'
import type { PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { ChainError, type ChainRegistry, type PublishedRecord, type PublishOptions, type PublishPlan } from '../../../src/chain/registry.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { AddressPublisher } from '../../../src/session/address-publisher.ts'
import { newPeer } from '../../support/keys.ts'
import { OWNER_KEY } from '../../support/owner.ts'
import { TempFolders } from '../../support/temp.ts'

const at = (ip: string): Multiaddr => multiaddr(`/ip4/${ip}/tcp/1`)
const [PUBLIC, OTHER, PRIVATE, LOOPBACK] = [at('45.79.0.1'), at('45.79.0.2'), at('10.0.0.7'), at('127.0.0.1')]
const [LEDGER, PAID] = ['ledger:', 'hypertensor:ws://127.0.0.1:9']
const HOUR_MS = 3_600_000

/** A chain that a test holds in its hands: each attempt waits for its answer. */
class HeldChain {
  readonly attempts: string[] = []
  readonly #news = new EventEmitter()
  readonly #peerId: PeerId
  #answer = Promise.withResolvers<Partial<PublishedRecord>>()

  constructor(peerId: PeerId) {
    this.#peerId = peerId
  }

  readonly publish = async (multiaddrs: Multiaddr[], options: PublishOptions): Promise<PublishedRecord> => {
    this.attempts.push(multiaddrs.join())
    this.#news.emit('attempt')
    const rest = await this.#answer.promise
    const to = { peerId: this.#peerId.toString(), multiaddr: String(multiaddrs[0]) }
    await options.approve?.({ to, account: '0x1' } as PublishPlan)
    options.onSent?.({ extrinsicHash: '0x2', nonce: 0 })
    return { peerId: this.#peerId, multiaddrs, verified: false, seq: 0n, block: 1, stale: false, readAtMs: 0, ...rest }
  }

  async attempted(times: number): Promise<void> {
    while (this.attempts.length < times) {
      await once(this.#news, 'attempt')
    }
  }

  async answers(rest: Partial<PublishedRecord> = {}): Promise<void> {
    this.#answer.resolve(rest)
    await this.#settled()
  }

  async fails(error: Error): Promise<void> {
    this.#answer.reject(error)
    await this.#settled()
  }

  /** What waited has gone on, as far as it goes without a timer. */
  async #settled(): Promise<void> {
    this.#answer = Promise.withResolvers()
    for (let turn = 0; turn < 20; turn++) {
      await Promise.resolve()
    }
  }
}

describe('a node that publishes by itself', () => {
  const folders = new TempFolders()
  let nowMs: number
  let own: Multiaddr[]
  let lines: string[]
  let chain: HeldChain
  let ownerKey: string
  let publisher: AddressPublisher

  beforeEach(async () => {
    nowMs = 0
    own = []
    lines = []
    ownerKey = join(await folders.make(), 'owner.key')
    await writeFile(ownerKey, OWNER_KEY, { mode: 0o600 })
    mock.timers.enable({ apis: ['setTimeout'] })
    mock.method(Math, 'random', () => 0)
  })

  afterEach(async () => {
    mock.reset()
    mock.timers.reset()
    await chain.answers()
    await publisher.stop()
    await folders.clean()
  })

  async function open(url: string, named: { listen?: string[]; announce?: string[] } = {}): Promise<void> {
    const { peerId } = await newPeer()
    chain = new HeldChain(peerId)
    publisher = new AddressPublisher({
      registry: chain as unknown as ChainRegistry,
      settings: { chain: url, subnetId: 1, ownerKey, listen: [], announce: [], ...named },
      peerId,
      log: createLogger('info', (line) => lines.push(line.trimEnd())),
      addresses: () => own,
      now: () => nowMs,
    })
  }

  function changeTo(...addresses: Multiaddr[]): void {
    own = addresses
    publisher.changed()
  }

  function pass(ms: number): void {
    nowMs += ms
    mock.timers.tick(ms)
  }

  function problem(): string | undefined {
    const { problem } = publisher
    return problem == null ? undefined : `${problem.code} ${problem.severity}: ${problem.message}`
  }

  /** The change is attempted, and goes well. */
  async function published(count: number): Promise<void> {
    await chain.attempted(count)
    await chain.answers()
    assert.equal(problem(), undefined)
  }

  for (const url of [LEDGER, PAID]) {
    it(`tries again until it succeeds, after longer and longer, and is no longer well until then: ${url}`, async () => {
      await open(url)
      changeTo(PUBLIC)
      for (let failures = 1, delayMs = 2_000; failures <= 10; failures++, delayMs = Math.min(2 * delayMs, 300_000)) {
        await chain.attempted(failures)
        await chain.fails(new ChainError('the chain is away'))
        assert.equal(problem(), 'CHAIN_UNAVAILABLE error: addresses not published; the node keeps trying: the chain is away')
        pass(delayMs - 1)
        assert.equal(chain.attempts.length, failures, 'not yet')
        pass(1)
      }
      await published(11)
      assert.deepEqual(
        lines.filter((line) => line.startsWith('error')),
        ['error: addresses not published: the chain is away'],
      )
      assert.match(lines.at(-1) ?? '', /^warn: published \/ip4\/45\.79\.0\.1/)
      pass(HOUR_MS)
      assert.equal(chain.attempts.length, 11)
    })

    it(`starts without an address, says so, and publishes the one that comes: ${url}`, async () => {
      await open(url, { listen: ['/ip4/0.0.0.0/tcp/1'] })
      changeTo(...(url === PAID ? [LOOPBACK] : []))
      publisher.changed()
      const none = 'the node has no address to publish yet: the chain keeps the present addresses until the node has one'
      assert.equal(problem(), `UNREACHABLE error: ${none}`)
      assert.deepEqual(lines, [`warn: ${none}`])
      changeTo(PRIVATE)
      pass(4_000)
      await published(1)
      assert.deepEqual(chain.attempts, [String(PRIVATE)])
    })

    it(`leaves what is there when no address is left, and publishes nothing when the same comes back: ${url}`, async () => {
      await open(url)
      changeTo(PUBLIC)
      await published(1)
      changeTo()
      assert.match(problem() ?? '', /^UNREACHABLE error: .* the chain keeps the present addresses until the node has one$/)
      changeTo(PUBLIC)
      pass(HOUR_MS)
      assert.equal(problem(), undefined)
      assert.equal(chain.attempts.length, 1)
    })

    it(`publishes the newest once it has ended with an earlier one: ${url}`, async () => {
      await open(url)
      changeTo(PUBLIC)
      await chain.attempted(1)
      for (const address of [OTHER, PUBLIC, OTHER]) {
        changeTo(address)
      }
      await chain.answers()
      pass(4_000)
      await published(2)
      assert.deepEqual(chain.attempts, [PUBLIC, OTHER].map(String))
    })
  }

  it('publishes every change of a list where that is free, at once', async () => {
    await open(LEDGER)
    const lists = [[LOOPBACK], [PRIVATE], [PUBLIC, PRIVATE], [PRIVATE]]
    for (const [index, list] of lists.entries()) {
      changeTo(...list)
      await published(index + 1)
    }
    assert.deepEqual(
      chain.attempts,
      lists.map((list) => list.join()),
    )
  })

  it('leaves addresses over relays and over QUIC out, and says so once', async () => {
    const relayed = multiaddr(`${PUBLIC.toString()}/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb/p2p-circuit`)
    const quic = multiaddr('/ip4/45.79.0.1/udp/38960/quic-v1')
    await open(LEDGER)
    changeTo(relayed, quic, PRIVATE)
    await published(1)
    assert.deepEqual(chain.attempts, [PRIVATE.toString()])
    publisher.changed()
    assert.deepEqual(
      lines
        .filter((line) => line.includes('left out'))
        .map((line) => line.includes(relayed.toString()) && line.includes(`${quic}: the chain does not accept QUIC`)),
      [true],
    )
  })

  it('does not pay for an address that is gone again at once, nor for others beside the published one', async () => {
    await open(PAID)
    changeTo(PUBLIC)
    await published(1)
    changeTo(OTHER)
    assert.equal(problem(), 'LIMIT_EXCEEDED warning: addresses changed, to be published in 4 s: each change costs a fee')
    pass(3_999)
    changeTo(PUBLIC)
    changeTo(OTHER, PUBLIC, PRIVATE)
    pass(HOUR_MS)
    assert.equal(chain.attempts.length, 1)
  })

  it('pays for a private address only once the public one stays away', async () => {
    await open(PAID)
    changeTo(PUBLIC)
    await published(1)
    changeTo(PRIVATE)
    pass(599_999)
    assert.equal(chain.attempts.length, 1)
    assert.match(problem() ?? '', /^LIMIT_EXCEEDED warning/)
    pass(1)
    await published(2)
    assert.deepEqual(chain.attempts, [PUBLIC, PRIVATE].map(String))
  })

  it('does not pay for an address that the node lost while the chain was asked', async () => {
    await open(PAID)
    changeTo(PUBLIC)
    await chain.attempted(1)
    own = [OTHER]
    await chain.answers()
    pass(0)
    pass(4_000)
    await published(2)
    assert.deepEqual(
      lines.filter((line) => /submitted transaction|error/.test(line)),
      ['info: submitted transaction 0x2'],
    )
  })

  it('pays for loopback only where that was named', async () => {
    await open(PAID, { listen: ['/ip4/127.0.0.1/tcp/1'] })
    changeTo(LOOPBACK)
    await published(1)
  })

  it('looks again at a transaction that waits, which may never come into a block', async () => {
    await open(PAID)
    changeTo(PUBLIC)
    await chain.attempted(1)
    await chain.answers({ waiting: { extrinsicHash: '0x3', nonce: 0 } })
    pass(2_000)
    await published(2)
  })
})
