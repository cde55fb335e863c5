import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { blockIntervalOf } from '../../../../src/chain/hypertensor/block-interval.ts'
import { ChainHealth } from '../../../../src/chain/hypertensor/chain-health.ts'
import { headerHash } from '../../../../src/chain/hypertensor/header-hash.ts'
import { Layout } from '../../../../src/chain/hypertensor/layout.ts'
import { createLogger } from '../../../../src/observe/logger.ts'

const METADATA = readFileSync(new URL('../../../fixtures/hypertensor/metadata-v14.hex', import.meta.url), 'utf8').trim()

describe('the health of a Hypertensor chain', () => {
  let nowMs: number
  let logged: string[]
  let health: ChainHealth

  beforeEach(() => {
    nowMs = 1_000_000
    logged = []
    const log = createLogger('warn', (line) => logged.push(line.trim()))
    health = new ChainHealth({ endpoint: () => 'ws://node', log, now: () => nowMs })
    health.blocksTake(6_000)
    health.follow(true)
  })

  function passes(seconds: number): void {
    nowMs += seconds * 1_000
  }

  it('is bad once there was no new head for ten blocks, and good with the next; each is told once', () => {
    health.saw(7)
    passes(60)
    assert.deepEqual(health.problems, [])
    passes(1)
    health.saw(7)
    health.saw(6)
    const problem = 'chain ws://node: no new block after 7 for 61 s; a block usually takes 6 s'
    assert.deepEqual(health.problems, [problem])
    passes(120)
    assert.deepEqual(health.problems, ['chain ws://node: no new block after 7 for 3 min; a block usually takes 6 s'])
    health.saw(8)
    assert.deepEqual(health.problems, [])
    assert.deepEqual(logged, [`warn: ${problem}`, 'warn: chain ws://node: new blocks arrive again; the newest is 8'])
  })

  it('is never judged without the time of a block, without a block, and while nobody follows it', () => {
    passes(1_000)
    assert.deepEqual(health.problems, [])
    health.saw(7)
    health.follow(false)
    passes(1_000)
    assert.deepEqual(health.problems, [])
    health.follow(true)
    assert.deepEqual(health.problems, [])
    health.blocksTake(undefined)
    passes(1_000)
    assert.deepEqual([health.problems, logged], [[], []])
  })

  it('goes by the time in the newest block until a new head comes, and then no more: the clock here may be wrong', () => {
    health.saw(7)
    health.sawTime(Date.now() - 300_000)
    assert.match(health.problems.join(), /no new block after 7 for 5 min/)
    health.saw(8)
    health.sawTime(Date.now() - 300_000)
    assert.deepEqual(health.problems, [])
    passes(61)
    assert.match(health.problems.join(), /no new block after \d+ for 61 s/)
  })

  it('takes a time in the newest block that is yet to come for now', () => {
    health.saw(7)
    health.sawTime(Date.now() + 86_400_000)
    passes(61)
    assert.match(health.problems.join(), /no new block after \d+ for 61 s/)
  })

  it('compares the clock here with the times of new heads alone, and of one chain', () => {
    health.saw(7)
    for (let read = 0; read < 9; read++) {
      health.sawTime(Date.now() - 300_000)
    }
    assert.deepEqual([health.wantsTime, health.clockOffsetMs], [false, undefined])
    const began = Date.now()
    for (let block = 8; block <= 12; block++) {
      passes(6)
      health.saw(block)
      assert.equal(health.wantsTime, true)
      health.sawTime(began + (block - 8) * 6_000 - 300_000)
    }
    // Unix time stands still in this test: the blocks after the first come ever earlier by it
    assert.ok(Math.abs((health.clockOffsetMs ?? 0) - 276_000) < 5_000, String(health.clockOffsetMs))
    health.becameOther(`0x${'22'.repeat(32)}`, `0x${'11'.repeat(32)}`, 'ws://other')
    assert.equal(health.clockOffsetMs, undefined)
  })

  it('does not grow older while the chain is away', () => {
    health.saw(7)
    passes(30)
    health.lost()
    passes(1_000)
    assert.deepEqual(health.problems, [])
    health.saw(9)
    assert.deepEqual([health.problems, logged], [[], []])
  })

  it('was set back when a head is lower than before by more than a reorganisation', () => {
    health.saw(500)
    health.saw(490)
    assert.deepEqual([health.problems, health.block], [[], 500])
    health.saw(12)
    const problem = 'chain ws://node: its newest block was 500, and is now 12: the chain was rolled back, or this endpoint is behind'
    assert.deepEqual([health.problems, health.block], [[problem], 12])
    passes(5)
    health.saw(13)
    passes(57)
    health.saw(489)
    assert.match(health.problems.join('\n'), /^chain ws:\/\/node: its newest block was 500, and is now 489: [^\n]*$/)
    health.saw(490)
    assert.deepEqual(health.problems, [])
    assert.deepEqual(logged, [`warn: ${problem}`, 'warn: chain ws://node: its newest block is 490 again'])
  })

  it('forgets the blocks of another chain', () => {
    health.saw(500)
    health.becameOther(`0x${'22'.repeat(32)}`, `0x${'11'.repeat(32)}`, 'ws://other')
    health.saw(3)
    const problem =
      'chain ws://other: this is another chain than before: its genesis hash is 0x2222222222222222…, and was 0x1111111111111111…; answers of the other chain are not used'
    assert.deepEqual([health.problems, health.block, logged], [[problem], 3, [`warn: ${problem}`]])
  })

  it('knows the time of a block by the constants of the runtime, and of no runtime without them', () => {
    const { runtime } = new Layout(Buffer.from(METADATA.slice(2), 'hex'), 'recorded')
    assert.equal(blockIntervalOf(runtime), 6_000)
    const pallets = runtime.metadata.pallets.filter(({ name }) => name !== 'Aura')
    assert.equal(blockIntervalOf({ ...runtime, metadata: { ...runtime.metadata, pallets } }), undefined)
  })

  it('knows the hash of a block by its header, as others know it', () => {
    // the first block of the Polkadot chain, as it is known
    const header = {
      parentHash: `0x${'00'.repeat(32)}`,
      number: '0x0',
      stateRoot: '0x29d0d972cd27cbc511e9589fcb7a4506d5eb6a9e8df205f00472e5ab354a4e17',
      extrinsicsRoot: '0x03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314',
      digest: { logs: [] },
    }
    assert.equal(headerHash(header), '0x91b171bb158e2d3848fa23a9f1c25182fb8e20313b2c1eb49219da7a70ce90c3')
    assert.equal(headerHash({ ...header, digest: undefined }), undefined)
  })
})
