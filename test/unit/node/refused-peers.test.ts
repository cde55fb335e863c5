import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { RefusedPeers, type RefusedPeersInit } from '../../../src/node/admission/refused-peers.ts'
import { BackgroundBudget } from '../../../src/node/dial/dial-budget.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { newPeers } from '../../support/keys.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60_000

describe('peers that refuse this node, or are refused', () => {
  let nowMs: number
  let lines: string[]
  let peer: PeerId
  let other: PeerId

  beforeEach(async () => {
    nowMs = 1_700_000_000_000
    lines = []
    ;[peer, other] = (await newPeers(2)).map(({ peerId }) => peerId) as [PeerId, PeerId]
  })

  function refusedPeers(init: Partial<RefusedPeersInit> = {}): RefusedPeers {
    return new RefusedPeers({ log: createLogger('info', (line) => lines.push(line.trimEnd())), now: () => nowMs, ...init })
  }

  /** Each dial is refused; when they were, in milliseconds from the first. */
  function dialsWithin(refused: RefusedPeers, ms: number): number[] {
    const startMs = nowMs
    const dials: number[] = []
    for (; nowMs - startMs < ms; nowMs += 50) {
      if (refused.mayDial(peer)) {
        refused.refused(peer, 'them', 'not registered')
        dials.push(nowMs - startMs)
      }
    }
    return dials
  }

  it('are dialled after 1 s, then twice as long each time, up to 10 minutes', () => {
    const dials = dialsWithin(refusedPeers(), 60 * MINUTE_MS)
    const pauses = dials.slice(1).map((atMs, index) => atMs - (dials[index] ?? 0))
    for (const [index, pauseMs] of pauses.entries()) {
      const longest = Math.min(SECOND_MS * 2 ** index, 10 * MINUTE_MS)
      assert.ok(pauseMs >= longest * 0.75 && pauseMs <= longest + 50, `the pause ${index + 1} is ${pauseMs} ms`)
    }
  })

  it('are dialled eight times in the first minute at most', () => {
    const { length } = dialsWithin(refusedPeers(), MINUTE_MS)
    assert.ok(length >= 5 && length <= 8, `${length} dials`)
  })

  it('are dialled at once when they let this node in, and when what stood against them changed', () => {
    const refused = refusedPeers()
    const end = [
      (): void => refused.admitted(peer, 'them'),
      (): void => refused.retry('them'),
      (): void => refused.retry('them', [other, peer]),
    ]
    for (const ends of end) {
      dialsWithin(refused, MINUTE_MS)
      assert.equal(refused.mayDial(peer), false)
      ends()
      assert.equal(refused.mayDial(peer), true)
      refused.refused(peer, 'them', 'not registered')
      nowMs += SECOND_MS
      assert.equal(refused.mayDial(peer), true, 'and the delays begin anew')
    }
  })

  it('are left alone while one of the two refuses the other', () => {
    const refused = refusedPeers()
    refused.refused(peer, 'them', 'not registered')
    refused.refused(peer, 'us', 'not registered')
    refused.admitted(peer, 'them')
    assert.equal(refused.mayDial(peer), false)
    refused.retry('us', [other])
    assert.equal(refused.mayDial(peer), false)
    refused.admitted(peer, 'us')
    assert.equal(refused.mayDial(peer), true)
  })

  it('take nothing of the background: no dial, and nothing of its budget', () => {
    const refused = refusedPeers()
    const budget = new BackgroundBudget(
      true,
      () => nowMs,
      (peerId) => refused.mayDial(peerId),
    )
    refused.refused(peer, 'them', 'not registered')
    assert.equal(
      Array.from({ length: 100 }, () => budget.take(peer)).some((taken) => taken),
      false,
    )
    assert.equal(Array.from({ length: 100 }, () => budget.take(other)).filter((taken) => taken).length, 32)
  })

  it('do not delay themselves by knocking', () => {
    const refused = refusedPeers()
    for (let knock = 0; knock < 1_000; knock++) {
      refused.refused(peer, 'us', 'not registered')
    }
    nowMs += SECOND_MS
    assert.equal(refused.mayDial(peer), true)
  })

  it('have one line when they are refused and one when that ends, however often they knock', () => {
    const refused = refusedPeers()
    for (let knock = 0; knock < 1_000; knock++) {
      refused.refused(peer, 'us', `${peer.toString()} is not registered`)
      nowMs += 10 * SECOND_MS
    }
    refused.admitted(peer, 'us')
    refused.admitted(peer, 'us')
    const id = peer.toString()
    assert.deepEqual(lines, [`info: turned away: ${id} is not registered`, `info: ${id} is let in now`])
  })

  it('have one line too while what stands against them is looked at again', () => {
    const refused = refusedPeers({ isBootstrap: (id) => id === peer.toString() })
    for (let change = 0; change < 10; change++) {
      refused.refused(peer, 'them', 'not registered')
      refused.retry('them')
    }
    refused.admitted(peer, 'them')
    const id = peer.toString()
    assert.deepEqual(lines, [`warn: bootstrap ${id} does not let this node in: not registered`, `info: ${id} lets this node in now`])
  })

  it('are counted where they are too many for a line each', async () => {
    const refused = refusedPeers()
    const crowd = await newPeers(50)
    for (const { peerId } of crowd.slice(0, 49)) {
      refused.refused(peerId, 'us', 'not registered')
    }
    assert.equal(lines.length, 10)
    nowMs += 10 * SECOND_MS
    refused.refused(crowd[49]?.peerId as PeerId, 'us', 'not registered')
    assert.match(lines.at(-1) ?? '', /\(39 earlier refusals were not logged\)$/)
  })

  it('are waited for until they may be dialled, at most until something changes', async () => {
    const refused = refusedPeers({ now: Date.now, delays: { firstMs: 20, maxMs: 20 } })
    const signal = AbortSignal.timeout(10_000)
    refused.refused(peer, 'them', 'not registered')
    await refused.untilDial(peer, signal)
    assert.equal(refused.mayDial(peer), true)
    const slow = refusedPeers({ now: Date.now, delays: { firstMs: 600_000, maxMs: 600_000 } })
    slow.refused(peer, 'us', 'not registered')
    const waiting = slow.untilDial(peer, signal)
    slow.retry('us')
    await waiting
    slow.refused(peer, 'us', 'not registered')
    await assert.rejects(slow.untilDial(peer, AbortSignal.abort(new Error('the node stops'))), /the node stops/)
  })
})
