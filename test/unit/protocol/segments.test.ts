import assert from 'node:assert/strict'
import { UsageError } from '../../../src/primitives/errors.ts'
import { segmentsOf } from '../../../src/protocol/message/segments.ts'
import { Source } from '../../support/messages.ts'
import { cut, seeded, someBytes } from '../../support/streams.ts'

async function* from(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

async function collected(segments: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  return Array.fromAsync(segments)
}

describe('the segments of a message', () => {
  it('are all of it, each of their size but the last, whatever the chunks', async () => {
    for (const [length, size] of [
      [0, 10],
      [1, 10],
      [9, 10],
      [10, 10],
      [11, 10],
      [20, 10],
      [1_000, 64],
    ] as const) {
      const bytes = someBytes(length, length)
      const random = seeded(length)
      for (const chunks of [[bytes], cut(bytes, () => 1), cut(bytes, () => random() * 25), [new Uint8Array(0), bytes, new Uint8Array(0)]]) {
        const segments = await collected(segmentsOf({ size: length, chunks: from(chunks) }, size))
        assert.ok(Buffer.concat(segments).equals(bytes))
        assert.ok(segments.every(({ byteLength }, index) => byteLength === size || (index === segments.length - 1 && byteLength > 0)))
      }
    }
  })

  it('are no part of smaller chunks, whose memory may be used again', async () => {
    const chunk = new Uint8Array(4)
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      for (const value of [1, 2]) {
        yield chunk.fill(value)
      }
    }
    const [segment] = await collected(segmentsOf({ size: 8, chunks: chunks() }, 8))
    assert.deepEqual([...(segment ?? [])], [1, 1, 1, 1, 2, 2, 2, 2])
  })

  it('are not all given before it is sure that nothing comes behind them', async () => {
    const segments = segmentsOf({ size: 8, chunks: new Source(12, { chunkBytes: 4 }) }, 4)
    assert.equal((await segments.next()).value?.byteLength, 4)
    await assert.rejects(segments.next(), UsageError)
  })

  for (const [what, given, says] of [
    ['grows', 11, 'the payload has grown while it was sent'],
    ['grows by far', 50, 'the payload has grown while it was sent'],
    ['shrinks', 9, 'the payload has shrunk while it was sent: 1 bytes are missing'],
    ['is gone', 0, 'the payload has shrunk while it was sent: 10 bytes are missing'],
  ] as const) {
    it(`end with a usage error when it ${what}, and let its source go`, async () => {
      const source = new Source(given, { chunkBytes: 3 })
      await assert.rejects(collected(segmentsOf({ size: 10, chunks: source }, 4)), (error) => {
        assert.ok(error instanceof UsageError)
        assert.equal(error.message, says)
        return true
      })
      assert.ok(source.given <= 12)
      await (given > 0 ? source.left.promise : undefined)
    })
  }

  it('end with what the source throws', async () => {
    const failing = new Source(5, { fails: new Error('the disk is gone') })
    await assert.rejects(collected(segmentsOf({ size: 10, chunks: failing }, 4)), { message: 'the disk is gone' })
  })

  it('end with the signal, although the source hangs, which is left when it goes on', async () => {
    const goesOn = Promise.withResolvers<void>()
    const left = Promise.withResolvers<void>()
    const hanging = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield new Uint8Array(4)
        await goesOn.promise
        yield new Uint8Array(4)
        assert.fail('it was asked for more')
      } finally {
        left.resolve()
      }
    }
    const controller = new AbortController()
    const segments = segmentsOf({ size: 12, chunks: hanging() }, 4, controller.signal)
    assert.equal((await segments.next()).done, false)
    const next = segments.next()
    controller.abort(new Error('had enough'))
    await assert.rejects(next, { message: 'had enough' })
    goesOn.resolve()
    await left.promise
  })

  it('let their source go when nobody wants more of them', async () => {
    const source = new Source(100, { chunkBytes: 10 })
    for await (const segment of segmentsOf({ size: 100, chunks: source }, 10)) {
      assert.equal(segment.byteLength, 10)
      break
    }
    await source.left.promise
    assert.equal(source.given, 10)
  })
})
