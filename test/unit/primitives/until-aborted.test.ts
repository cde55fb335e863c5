import assert from 'node:assert/strict'
import { untilAborted } from '../../../src/primitives/until-aborted.ts'

describe('a source that is left when a signal aborts', () => {
  it('gives all that comes, and ends as it ends', async () => {
    const { signal } = new AbortController()
    async function* source(): AsyncGenerator<number> {
      yield 1
      yield 2
    }
    assert.deepEqual(await Array.fromAsync(untilAborted(source(), signal)), [1, 2])
    assert.deepEqual(await Array.fromAsync(untilAborted(source(), undefined)), [1, 2])
  })

  it('throws the reason while it hangs, and tells the source to end', async () => {
    const reason = new Error('enough')
    const told = Promise.withResolvers<void>()
    const source: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({
        next: async () => new Promise(() => undefined),
        return: async () => {
          told.resolve()
          return new Promise(() => undefined)
        },
      }),
    }
    const aborting = new AbortController()
    const reading = Array.fromAsync(untilAborted(source, aborting.signal))
    aborting.abort(reason)
    await assert.rejects(reading, reason)
    await told.promise
  })

  it('tells the source to end when nobody wants more', async () => {
    let ended = false
    async function* source(): AsyncGenerator<number> {
      try {
        yield 1
        yield 2
      } finally {
        ended = true
      }
    }
    for await (const each of untilAborted(source(), undefined)) {
      assert.equal(each, 1)
      break
    }
    assert.equal(ended, true)
  })
})
