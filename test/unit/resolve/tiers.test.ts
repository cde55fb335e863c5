import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { PeerId } from '@libp2p/interface'
import { type Candidate, TIER_NAMES } from '../../../src/resolve/tier.ts'
import { ChainTier } from '../../../src/resolve/tiers/chain.ts'
import { GossipTier } from '../../../src/resolve/tiers/gossip.ts'
import { LocalTier } from '../../../src/resolve/tiers/local.ts'
import { type AskPeer, NeighboursTier } from '../../../src/resolve/tiers/neighbours.ts'
import { describeTier } from '../../../src/testing/tier-compliance.ts'
import { newPeers } from '../../support/keys.ts'
import { allOf, candidate, portsOf } from './candidates.ts'

const never = async (): Promise<never> => new Promise<never>(() => undefined)
const nobody = async (): Promise<undefined> => undefined
const rejecting = (error: Error) => async (): Promise<never> => Promise.reject(error)

async function* listed(...peers: PeerId[]): AsyncGenerator<PeerId> {
  yield* peers
}

const [NEIGHBOUR, ...MORE] = (await newPeers(20)).map(({ peerId }) => peerId) as [PeerId, ...PeerId[]]

describeTier('the gossip tier', {
  knowing: (known, of) => new GossipTier({ freshAddressesOf: (peerId) => (peerId.equals(of) ? known : undefined) }),
  failing: (error) =>
    new GossipTier({
      freshAddressesOf: () => {
        throw error
      },
    }),
})

describeTier('the chain tier', {
  knowing: (known, of) => new ChainTier({ addressesOf: async (peerId) => (peerId.equals(of) ? known : undefined) }),
  failing: (error) => new ChainTier({ addressesOf: rejecting(error) }),
  silent: () => new ChainTier({ addressesOf: never }),
})

const askingOne = (ask: AskPeer['ask']): AskPeer => ({ neighbours: () => listed(NEIGHBOUR), ask, walk: nobody })

describeTier('the neighbours tier', {
  knowing: (known, of) => new NeighboursTier(askingOne(async (_neighbour, target) => (target.equals(of) ? known : undefined))),
  failing: (error) => new NeighboursTier(askingOne(rejecting(error))),
  silent: () => new NeighboursTier({ neighbours: neverEnding, ask: never, walk: never }),
})

describeTier('the neighbours tier that has only the Kademlia walk', {
  knowing: (known, of) =>
    new NeighboursTier({ neighbours: () => listed(), ask: never, walk: async (target) => (target.equals(of) ? known : undefined) }),
  failing: (error) => new NeighboursTier({ neighbours: failingList(error), ask: never, walk: nobody }),
  silent: () => new NeighboursTier({ neighbours: () => listed(), ask: never, walk: never }),
})

async function* neverEnding(): AsyncGenerator<PeerId> {
  yield await never()
}

function failingList(error: Error): AskPeer['neighbours'] {
  return async function* () {
    yield* []
    throw error
  }
}

describe('the built-in tiers', () => {
  it('have the names of the contract, and are asked in their order', () => {
    const tiers = [
      new ChainTier({ addressesOf: nobody }),
      new NeighboursTier(askingOne(nobody)),
      new GossipTier({ freshAddressesOf: () => undefined }),
      new LocalTier({ heardFrom: () => undefined }),
    ]
    assert.deepEqual(
      tiers.sort((a, b) => a.order - b.order).map(({ name }) => name),
      TIER_NAMES,
    )
  })
})

describe('the tiers’ budgets', () => {
  it('are 3 s for the neighbours and 5 s for the chain, or what they are told', () => {
    assert.equal(new NeighboursTier(askingOne(nobody)).budgetMs, 3_000)
    assert.equal(new ChainTier({ addressesOf: nobody }).budgetMs, 5_000)
    assert.equal(new NeighboursTier(askingOne(nobody), { budgetMs: 7 }).budgetMs, 7)
    assert.equal(new ChainTier({ addressesOf: nobody }, { budgetMs: 7 }).budgetMs, 7)
  })
})

describe('the neighbours tier', () => {
  const peerId = MORE.pop() ?? NEIGHBOUR
  const { signal } = new AbortController()
  const answer = (port: number, seq = 1n): Candidate => candidate(peerId, 'neighbour', [port], { seq })

  /** Neighbours that answer when they are told to. */
  class Neighbours implements AskPeer {
    readonly peers: PeerId[]
    readonly asked: PeerId[] = []
    readonly signals: AbortSignal[] = []
    readonly #replies = new Map<string, PromiseWithResolvers<Candidate | undefined>>()
    readonly #walked = Promise.withResolvers<Candidate | undefined>()

    constructor(count: number) {
      this.peers = MORE.slice(0, count)
    }

    neighbours(): AsyncGenerator<PeerId> {
      return listed(...this.peers)
    }

    async ask(neighbour: PeerId, _target: PeerId, options: { signal: AbortSignal }): Promise<Candidate | undefined> {
      this.asked.push(neighbour)
      this.signals.push(options.signal)
      return this.#replyOf(neighbour).promise
    }

    async walk(_target: PeerId, options: { signal: AbortSignal }): Promise<Candidate | undefined> {
      this.signals.push(options.signal)
      return this.#walked.promise
    }

    reply(index: number, reply: Candidate | Error | undefined): void {
      const { resolve, reject } = this.#replyOf(this.peers[index] ?? NEIGHBOUR)
      reply instanceof Error ? reject(reply) : resolve(reply)
    }

    endWalk(found?: Candidate | Error): void {
      found instanceof Error ? this.#walked.reject(found) : this.#walked.resolve(found)
    }

    #replyOf(neighbour: PeerId): PromiseWithResolvers<Candidate | undefined> {
      const reply = this.#replies.get(neighbour.toString()) ?? Promise.withResolvers<Candidate | undefined>()
      this.#replies.set(neighbour.toString(), reply)
      return reply
    }
  }

  it('asks eight of them at most, the first that are named, all at once, and walks beside it', async () => {
    const network = new Neighbours(12)
    const finding = new NeighboursTier(network).find(peerId, { signal })
    const first = finding.next()
    await turn()
    assert.deepEqual(network.asked.map(String), network.peers.slice(0, 8).map(String))
    assert.equal(network.signals.length, 9)
    network.reply(7, answer(1))
    assert.deepEqual(portsOf((await first).value), [1])
    await finding.return(undefined)
  })

  it('gives an answer while another neighbour hangs', async () => {
    const network = new Neighbours(2)
    const finding = new NeighboursTier(network).find(peerId, { signal })
    network.reply(1, answer(2))
    assert.deepEqual(portsOf((await finding.next()).value), [2])
    network.reply(0, answer(1))
    assert.deepEqual(portsOf((await finding.next()).value), [1])
    network.endWalk()
    assert.equal((await finding.next()).done, true)
  })

  it('gives, of those that came while one was tried, the newest record first and the unsigned one last', async () => {
    const network = new Neighbours(5)
    network.reply(0, answer(1, 1n))
    const finding = new NeighboursTier(network).find(peerId, { signal })
    assert.deepEqual(portsOf((await finding.next()).value), [1])
    network.endWalk(candidate(peerId, 'neighbour', [9], { seq: 0n, verified: false }))
    for (const [index, seq] of [2n, 5n, 3n].entries()) {
      network.reply(index + 1, answer(Number(seq), seq))
    }
    network.reply(4, undefined)
    await turn()
    assert.deepEqual((await allOf(finding)).flatMap(portsOf), [5, 3, 2, 9])
  })

  it('still gives what came before the end of its budget, and nothing that came after', async () => {
    const network = new Neighbours(4)
    const budget = new AbortController()
    network.reply(0, answer(1, 1n))
    const finding = new NeighboursTier(network).find(peerId, { signal: budget.signal })
    assert.deepEqual(portsOf((await finding.next()).value), [1])
    network.reply(1, answer(2, 2n))
    network.reply(2, answer(3, 3n))
    await turn()
    budget.abort(new Error('spent'))
    network.reply(3, answer(4, 4n))
    await turn()
    assert.deepEqual(portsOf((await finding.next()).value), [3])
    assert.deepEqual(portsOf((await finding.next()).value), [2])
    assert.equal((await finding.next()).done, true)
  })

  it('tells all whom it asked to stop when nobody wants more of it', async () => {
    const network = new Neighbours(3)
    network.reply(0, answer(1))
    for await (const found of new NeighboursTier(network).find(peerId, { signal })) {
      assert.deepEqual(portsOf(found), [1])
      assert.ok(network.signals.every(({ aborted }) => !aborted))
      break
    }
    assert.equal(network.signals.length, 4)
    assert.ok(network.signals.every(({ aborted }) => aborted))
  })

  it('asks those too that are connected only later', async () => {
    const connected = Promise.withResolvers<PeerId>()
    async function* neighbours(): AsyncGenerator<PeerId> {
      yield NEIGHBOUR
      yield await connected.promise
    }
    const ask: AskPeer['ask'] = async (neighbour) => (neighbour.equals(NEIGHBOUR) ? undefined : answer(2))
    const finding = new NeighboursTier({ neighbours, ask, walk: nobody }).find(peerId, { signal })
    const first = finding.next()
    await turn()
    connected.resolve(MORE[0] ?? NEIGHBOUR)
    assert.deepEqual(portsOf((await first).value), [2])
    assert.equal((await finding.next()).done, true)
  })

  it('fails only when all failed: one that does not know is an answer', async () => {
    const network = new Neighbours(3)
    network.reply(0, new Error('broken stream'))
    network.reply(1, undefined)
    network.reply(2, new Error('another'))
    network.endWalk(new Error('no table'))
    assert.deepEqual(await allOf(new NeighboursTier(network).find(peerId, { signal })), [])
    const all = new Neighbours(2)
    all.reply(0, new Error('broken stream'))
    all.reply(1, new Error('another'))
    all.endWalk()
    await assert.rejects(allOf(new NeighboursTier(all).find(peerId, { signal })), /broken stream; another/)
  })

  it('is not failed by the walk alone, nor by a port that throws instead of rejecting', async () => {
    const network = new Neighbours(0)
    network.endWalk(new Error('no table'))
    assert.deepEqual(await allOf(new NeighboursTier(network).find(peerId, { signal })), [])
    const throwing = () => {
      throw new Error('at once')
    }
    const tier = new NeighboursTier({ neighbours: () => listed(NEIGHBOUR), ask: throwing, walk: throwing })
    await assert.rejects(allOf(tier.find(peerId, { signal })), /at once/)
  })

  it('lets go of the budget’s signal, and warns of nothing', async () => {
    const warnings: Error[] = []
    const onWarning = (warning: Error): unknown => warnings.push(warning)
    process.on('warning', onWarning)
    const budget = new AbortController()
    for (let round = 0; round < 20; round++) {
      const network = new Neighbours(8)
      network.reply(0, answer(1))
      for await (const _found of new NeighboursTier(network).find(peerId, { signal: budget.signal })) {
        break
      }
    }
    const aborted = once(budget.signal, 'abort')
    budget.abort()
    await aborted
    await turn()
    process.off('warning', onWarning)
    assert.deepEqual(warnings, [])
  })
})
