import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { peerIdOf } from '../primitives/address.ts'
import type { Candidate, Tier } from '../resolve/tier.ts'
import { addresses, newPeer, type TestPeer } from './peers.ts'
import { suiteOf, type TestSuite } from './suite.ts'

/** How a tier's source can be. */
export interface TierSetup {
  /** A tier whose source knows this and nothing else. */
  knowing(known: Candidate, of: PeerId): Tier
  /** A tier whose source fails with this. */
  failing(error: Error): Tier
  /** A tier whose source never answers and looks at no signal; absent where the source answers at once by its nature. */
  silent?(): Tier
}

/**
 * What every tier must do: `describeTier('the chain tier', { knowing, failing, silent })`.
 * @param given what enters the tests, by default the runner's globals
 */
export function describeTier(name: string, setup: TierSetup, given?: TestSuite): void {
  const { describe, beforeEach, test } = suiteOf(given)
  describe(`${name}, as every tier`, () => {
    let peer: TestPeer
    let other: TestPeer
    let known: Candidate
    let tier: Tier

    beforeEach(async () => {
      peer = await newPeer()
      other = await newPeer()
      known = { multiaddrs: addresses(peer, 2), source: 'gossip', verified: true, seq: 7n, ageMs: 10, detail: 'a test' }
      tier = setup.knowing(known, peer.peerId)
    })

    /** All answers; a tier that does not end runs into the test's own time limit. */
    async function all(of: Tier, peerId: PeerId, signal = new AbortController().signal): Promise<Candidate[]> {
      return allOf(of.find(peerId, { signal }))
    }

    test('has a name, an order, and a budget', async () => {
      assert.match(tier.name, /^[\w-]+$/)
      assert.ok(!['given', 'connected', 'dialled'].includes(tier.name))
      assert.ok(Number.isFinite(tier.order))
      assert.ok(tier.budgetMs > 0 && tier.budgetMs <= 60_000)
    })

    test('gives what its source knows of the peer that is asked for, then ends', async () => {
      const answers = await all(tier, peer.peerId)
      assert.equal(answers.length, 1)
      assert.deepEqual(answers[0]?.multiaddrs.map(String), known.multiaddrs.map(String))
      assert.ok(answers[0]?.multiaddrs.every((address) => peerIdOf(address)?.equals(peer.peerId)))
      assert.ok(answers[0].detail.length > 0)
    })

    test('ends without an answer for a peer that its source does not know', async () => {
      assert.deepEqual(await all(tier, other.peerId), [])
    })

    test('answers again when it is asked again, and when it is asked by many at once', async () => {
      const asked = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => all(tier, index % 2 === 0 ? peer.peerId : other.peerId)),
      )
      assert.deepEqual(
        asked.map(({ length }) => length),
        Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 1 : 0)),
      )
      assert.equal((await all(tier, peer.peerId)).length, 1)
    })

    test('ends when nobody wants more of it', async () => {
      for await (const answer of tier.find(peer.peerId, { signal: new AbortController().signal })) {
        assert.ok(answer.multiaddrs.length > 0)
        break
      }
    })

    test('fails with the reason when its source fails', async () => {
      await assert.rejects(all(setup.failing(new Error('the source is broken')), peer.peerId), /the source is broken/)
    })

    test('ends when its time is up, though its source says nothing', async () => {
      const time = new AbortController()
      const asked = setup.silent == null ? tier : setup.silent()
      const ended = all(asked, peer.peerId, time.signal).catch((error) => assert.equal(error, time.signal.reason))
      setImmediate(() => time.abort(new Error('time is up')))
      await ended
      await all(asked, peer.peerId, time.signal).catch((error) => assert.equal(error, time.signal.reason))
    })
  })
}

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) {
    all.push(item)
  }
  return all
}
