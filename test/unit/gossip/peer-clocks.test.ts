import assert from 'node:assert/strict'
import { type OtherClock, PeerClocks } from '../../../src/gossip/peer-clocks.ts'
import { createLogger } from '../../../src/observe/logger.ts'

const INTERVAL_MS = 20_000

describe('the clocks of peers', () => {
  const lines: string[] = []
  let now: number
  let clocks: PeerClocks
  let other: OtherClock | undefined

  beforeEach(() => {
    now = 1_800_000_000_000
    lines.length = 0
    other = undefined
    clocks = new PeerClocks({ log: createLogger('warn', (line) => lines.push(line)), now: () => now, other: () => other })
  })

  /** Each of these peers says that it is so much later than here, in seconds. */
  function say(...aheadS: number[]): void {
    now += INTERVAL_MS
    for (const [index, seconds] of aheadS.entries()) {
      clocks.note(`peer ${index}`, now + seconds * 1_000, INTERVAL_MS)
    }
  }

  it('say with three voices that this one is behind, or ahead, and by how much', () => {
    say(119, 120, 121)
    assert.match(clocks.problem ?? '', /^the clock of this machine is 2 min behind those of 3 peers/)
    say(-119, -120, -121)
    // what is older than before counts as a replay, until the last word is too old
    now += 600_001
    say(-119, -120, -121)
    assert.match(clocks.problem ?? '', /^the clock of this machine is 2 min ahead of those of 3 peers/)
  })

  for (const [what, ahead] of [
    ['two of them', [120, 120]],
    ['one of three', [3_600, 0, 1]],
    ['two of four', [3_600, 0, 1, 3_600]],
    ['a few seconds', [20, 25, 29]],
    ['nobody', []],
  ] as const) {
    it(`say nothing of this one where it is ${what}`, () => {
      say(...ahead)
      assert.equal(clocks.problem, undefined)
      assert.deepEqual(lines, [])
    })
  }

  it('are told of in the log once, and again only when it was well in between', () => {
    for (let round = 0; round < 5; round++) {
      say(120, 120, 120)
    }
    assert.equal(lines.length, 1)
    // this clock was set
    now += 120_000
    say(0, 0, 0)
    assert.equal(clocks.problem, undefined)
    say(120, 120, 120)
    assert.equal(lines.length, 2)
  })

  it('are not those of old beats that somebody sends once more', () => {
    const old = now
    say(0, 0, 0)
    now += 300_000
    for (const index of [0, 1, 2]) {
      clocks.note(`peer ${index}`, old, INTERVAL_MS)
    }
    assert.equal(clocks.problem, undefined)
  })

  it('count for ten minutes after they were heard', () => {
    say(120, 120, 120)
    now += 600_000
    assert.ok(clocks.problem != null)
    now += 1
    assert.equal(clocks.problem, undefined)
  })

  /** The chain says that it is so much later than here, in seconds. */
  function chainSays(aheadS: number): void {
    other = { name: 'the blocks of chain ws://node', offsetMs: -aheadS * 1_000 }
  }

  for (const [what, ahead] of [
    ['nobody', []],
    ['two peers who are right', [0, 0]],
    ['two peers who lie', [-3_600, -3_600]],
  ] as const) {
    it(`leave it to the chain where it is beside ${what}: over 60 s that warns, once, with its name`, () => {
      chainSays(60)
      say(...ahead)
      assert.equal(clocks.problem, undefined)
      chainSays(120)
      clocks.judge()
      clocks.judge()
      assert.match(clocks.problem ?? '', /^the clock of this machine is 2 min behind the blocks of chain ws:\/\/node: nodes whose/)
      assert.equal(lines.length, 1)
      other = undefined
      assert.equal(clocks.problem, undefined)
    })
  }

  it('have the chain as one more voice: it is named where it says the same', () => {
    chainSays(121)
    say(119, 120, 122)
    assert.match(
      clocks.problem ?? '',
      /^the clock of this machine is 2 min behind those of 3 peers and the blocks of chain ws:\/\/node \(their median\)/,
    )
    chainSays(0)
    assert.match(clocks.problem ?? '', /^the clock of this machine is 119 s behind those of 3 peers \(their median\)/)
  })

  for (const [what, ahead, chain] of [
    ['the chain alone', [0, 1, 2], 3_600],
    ['the chain and one of three', [0, 1, 3_600], 3_600],
    ['one of three, beside a chain that is a little off', [0, 29, 3_600], 45],
    ['two of three, and not the chain', [0, 120, 120], 0],
  ] as const) {
    it(`say nothing of this one where it is ${what}`, () => {
      chainSays(0)
      say(...ahead)
      chainSays(chain)
      clocks.judge()
      assert.equal(clocks.problem, undefined)
      assert.deepEqual(lines, [])
    })
  }
})
