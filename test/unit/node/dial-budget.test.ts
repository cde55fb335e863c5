import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { backgroundDials, WalkBudget } from '../../../src/node/dial-budget.ts'
import { newPeer } from '../../support/keys.ts'

/** How many of many tries succeed. */
function taken(take: () => boolean): number {
  return Array.from({ length: 1_000 }, take).filter(Boolean).length
}

describe('dials that nobody here asked for', () => {
  it('are 32 at once, and at most 62 in the first 30 seconds', () => {
    let nowMs = 0
    const budget = backgroundDials(true, () => nowMs)
    let dials = taken(() => budget.take())
    assert.equal(dials, 32)
    for (; nowMs <= 30_000; nowMs += 100) {
      dials += taken(() => budget.take())
    }
    assert.ok(dials > 32 && dials <= 62, `${dials} dials`)
  })

  it('are none on a node that only asks', () => {
    assert.equal(
      taken(() => backgroundDials(false).take()),
      0,
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
    // who names a peer again does not change whose word it was
    walk.named(target.toString(), honest)
    walk.named(liar.toString(), liar)
    assert.equal(taken(() => walk.take(target)) + taken(() => walk.take(liar)), 4)
    walk.named(honest.toString(), honest)
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
