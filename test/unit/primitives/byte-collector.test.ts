import assert from 'node:assert/strict'
import { ByteCollector } from '../../../src/primitives/byte-collector.ts'
import { bytesInUse, cut, keepsLess, seeded, someBytes } from '../../support/streams.ts'

const KIB = 1024

function same(bytes: Uint8Array, expected: Uint8Array): void {
  assert.ok(Buffer.from(bytes).equals(expected), `${bytes.byteLength} bytes, and not the ${expected.byteLength}`)
}

describe('bytes that are collected', () => {
  it('are all that came, in one piece, whatever the chunks, and whether their number is known or not', () => {
    for (const size of [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 300_000]) {
      const bytes = someBytes(size, size)
      const random = seeded(size)
      for (const expected of [size, undefined]) {
        for (const chunks of [[bytes], cut(bytes, () => 1 + random() * 100_000), [new Uint8Array(0), bytes, new Uint8Array(0)]]) {
          const collector = new ByteCollector(expected)
          for (const chunk of chunks) {
            collector.append(chunk)
          }
          assert.equal(collector.size, size)
          same(collector.finish(), bytes)
        }
      }
    }
  })

  it('may have a beginning put before them', () => {
    for (const expected of [5, undefined]) {
      const collector = new ByteCollector(expected)
      collector.append(someBytes(5))
      same(collector.finish(someBytes(3)), Buffer.concat([someBytes(3), someBytes(5)]))
    }
  })

  it('are not copied where they are expected, and come at once', () => {
    const bytes = someBytes(100)
    const collector = new ByteCollector(100)
    collector.append(bytes)
    assert.equal(collector.finish(), bytes)
  })

  it('are no part of chunks whose memory may be used again', () => {
    for (const expected of [4, undefined]) {
      const collector = new ByteCollector(expected)
      const chunk = new Uint8Array(2)
      collector.append(chunk.fill(1))
      collector.append(chunk.fill(2))
      assert.deepEqual([...collector.finish()], [1, 1, 2, 2])
    }
  })

  it('are not more than were expected', () => {
    const collector = new ByteCollector(5)
    collector.append(someBytes(3))
    assert.throws(() => collector.append(someBytes(3)), RangeError)
  })

  it('cost about their number, also where each comes by itself', async () => {
    const before = bytesInUse()
    const collector = new ByteCollector()
    for (let byte = 0; byte < 200_000; byte++) {
      collector.append(new Uint8Array(1))
    }
    await keepsLess(before, 4 * KIB * KIB)
    assert.equal(collector.finish().byteLength, 200_000)
  })
})
