import assert from 'node:assert/strict'
import { backoffMs } from '../../../src/primitives/backoff.ts'
import { collectBytes } from '../../../src/primitives/collect-bytes.ts'

describe('the bytes of a source', () => {
  const source = (...texts: string[]): { chunks: AsyncGenerator<Uint8Array>; left: Promise<void> } => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const chunks = (async function* () {
      try {
        yield* texts.map((text) => Buffer.from(text))
      } finally {
        resolve()
      }
    })()
    return { chunks, left: promise }
  }

  for (const texts of [[], ['one'], ['one', '', 'two']]) {
    it(`are collected: ${JSON.stringify(texts)}`, async () => {
      assert.equal((await collectBytes(source(...texts).chunks, { maxBytes: 6 })).toString(), texts.join(''))
    })
  }

  it('over the bound are an error, and the source is left', async () => {
    const { chunks, left } = source('1234', '5', '6')
    await assert.rejects(collectBytes(chunks, { maxBytes: 4 }), /^Error: it has more than 4 bytes$/)
    await left
    const tooMany = (maxBytes: number): Error => new RangeError(`over ${maxBytes}`)
    await assert.rejects(collectBytes(source('1234', '5').chunks, { maxBytes: 4, tooMany }), /^RangeError: over 4$/)
  })

  it('of a source that hangs are not waited for once the signal aborts', async () => {
    const hangs: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({ next: async () => new Promise(() => undefined), return: async () => new Promise(() => undefined) }),
    }
    const stop = new AbortController()
    const collected = collectBytes(hangs, { signal: stop.signal })
    stop.abort(new Error('enough'))
    await assert.rejects(collected, /enough/)
  })
})

describe('a backoff', () => {
  it('doubles with each failure, up to its bound', () => {
    const pauses = [0, 1, 2, 3, 1_000].map((failures) => backoffMs(failures, { firstMs: 100, maxMs: 700 }))
    assert.deepEqual(pauses, [100, 200, 400, 700, 700])
  })

  it('leaves the share of its jitter to chance', () => {
    for (let index = 0; index < 100; index++) {
      const pause = backoffMs(1, { firstMs: 100, maxMs: 700 }, 0.5)
      assert.ok(pause > 100 && pause <= 200, `${pause}`)
    }
  })
})
