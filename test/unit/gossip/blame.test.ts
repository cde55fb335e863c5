import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { Blame } from '../../../src/gossip/blame.ts'
import { newPeer, newPeers } from '../../support/keys.ts'

const BURST = 32
const REMEMBERED = 4_096

describe('the blame for garbage', () => {
  let author: PeerId
  let relay: PeerId
  let nowMs: number
  let blame: Blame

  before(async () => {
    const peers = await newPeers(2)
    author = peers[0]?.peerId as PeerId
    relay = peers[1]?.peerId as PeerId
  })

  beforeEach(() => {
    nowMs = 1_000_000
    blame = new Blame(() => nowMs)
  })

  const scoreOf = (peer: PeerId): number => blame.scoreOf(peer.toString())
  const times = (count: number, each: () => void): void => Array.from({ length: count }).forEach(each)

  it('is nobody’s at first', () => {
    assert.equal(scoreOf(author), 0)
  })

  it('is of the author that sends it itself, and of nobody else', () => {
    times(3, () => blame.garbage(author, author))
    assert.deepEqual([scoreOf(author), scoreOf(relay)], [-9, 0])
  })

  it('is of the author that another peer passes on, and not of that peer', () => {
    times(3, () => blame.garbage(author, relay))
    assert.deepEqual([scoreOf(author), scoreOf(relay)], [-9, 0])
  })

  it('is of the peer that passes on more than 32, and then more than one a second', async () => {
    for (let index = 0; index < BURST; index++) {
      blame.garbage((await newPeer()).peerId, relay)
    }
    assert.equal(scoreOf(relay), 0)
    blame.garbage(author, relay)
    assert.deepEqual([scoreOf(relay), scoreOf(author)], [-1, 0])
    nowMs += 1_000
    blame.garbage(author, relay)
    assert.equal(scoreOf(author), -1)
    assert.ok(scoreOf(relay) > -1)
    blame.garbage(author, relay)
    assert.ok(scoreOf(relay) < -3)
  })

  it('costs no peer what it may pass on because another peer used up its own share', async () => {
    times(2 * BURST, () => blame.garbage(author, relay))
    const honest = (await newPeer()).peerId
    blame.garbage(author, honest)
    assert.equal(scoreOf(honest), 0)
  })

  it('is less by a fifth of the score each second, and gone after 22 s', () => {
    blame.garbage(author, author)
    nowMs += 1_000
    assert.ok(Math.abs(scoreOf(author) + 0.81) < 1e-9)
    nowMs += 20_000
    assert.ok(scoreOf(author) < 0)
    nowMs += 1_000
    assert.equal(scoreOf(author), 0)
  })

  it('is gone 44 s after the last of any number of messages', () => {
    times(1_000, () => blame.garbage(author, author))
    assert.equal(scoreOf(author), -100)
    nowMs += 44_000
    assert.equal(scoreOf(author), 0)
  })

  it('does not grow when the clock is set back', () => {
    blame.garbage(author, author)
    nowMs -= 60_000
    assert.equal(scoreOf(author), -1)
  })

  it('is remembered of 4,096 peers, and forgotten first of the one that was blamed longest ago', async () => {
    const others = (await newPeers(REMEMBERED)).map(({ peerId }) => peerId)
    blame.garbage(relay, relay)
    blame.garbage(author, author)
    blame.garbage(relay, relay)
    for (const other of others.slice(1)) {
      blame.garbage(other, other)
    }
    assert.deepEqual([scoreOf(author), scoreOf(relay)], [0, -4])
    blame.garbage(others[0] as PeerId, others[0] as PeerId)
    assert.equal(scoreOf(relay), 0)
  })
})
