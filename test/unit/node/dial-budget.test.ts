import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { BackgroundBudget, WalkBudget } from '../../../src/node/dial/dial-budget.ts'
import { newPeer } from '../../support/keys.ts'

/** How many of many tries succeed. */
function taken(take: () => boolean): number {
  return Array.from({ length: 1_000 }, take).filter(Boolean).length
}

describe('dials that nobody here asked for', () => {
  it('are 32 at once, and at most 62 in the first 30 seconds', () => {
    let nowMs = 0
    const budget = new BackgroundBudget(true, () => nowMs)
    let dials = taken(() => budget.take())
    assert.equal(dials, 32)
    for (; nowMs <= 30_000; nowMs += 100) {
      dials += taken(() => budget.take())
    }
    assert.ok(dials > 32 && dials <= 62, `${dials} dials`)
  })

  it('are none on a node that only asks', () => {
    assert.equal(
      taken(() => new BackgroundBudget(false).take()),
      0,
    )
  })
})

describe('dials that nobody here asked for, to peers that one peer named', () => {
  it('are 20: those that others named are dialled still', async () => {
    const [liar, honest, fake, peer] = (await Promise.all([newPeer(), newPeer(), newPeer(), newPeer()])).map(({ peerId }) => peerId) as [
      PeerId,
      PeerId,
      PeerId,
      PeerId,
    ]
    const budget = new BackgroundBudget(true, () => 0)
    budget.named(fake.toString(), liar)
    // the liar knows honest peers too
    budget.named(peer.toString(), liar)
    assert.equal(
      taken(() => budget.take(fake)),
      20,
    )
    assert.equal(
      taken(() => budget.take(peer)),
      0,
    )
    budget.named(peer.toString(), honest)
    assert.equal(
      taken(() => budget.take(peer)),
      12,
    )
  })
})

describe('the dials of a walk', () => {
  let liar: PeerId
  let honest: PeerId
  let target: PeerId

  before(async () => {
    ;[liar, honest, target] = (await Promise.all([newPeer(), newPeer(), newPeer()])).map(({ peerId }) => peerId) as [PeerId, PeerId, PeerId]
  })

  it('are 8, whoever named the peers', () => {
    const walk = new WalkBudget(() => true)
    walk.named(honest.toString(), target)
    walk.named(target.toString(), honest)
    assert.equal(taken(() => walk.take(honest)) + taken(() => walk.take(target)) + taken(() => walk.take(liar)), 8)
  })

  it('are 4 of peers that one peer named: another one can still be heard', () => {
    const walk = new WalkBudget(() => true)
    walk.named(target.toString(), liar)
    walk.named(honest.toString(), liar)
    assert.equal(taken(() => walk.take(target)) + taken(() => walk.take(honest)), 4)
    walk.named(honest.toString(), target)
    assert.equal(
      taken(() => walk.take(honest)),
      4,
    )
  })

  it('are no more than the search has', () => {
    let left = 3
    const walk = new WalkBudget(() => left-- > 0)
    walk.named(target.toString(), honest)
    assert.equal(
      taken(() => walk.take(target)),
      3,
    )
  })
})
