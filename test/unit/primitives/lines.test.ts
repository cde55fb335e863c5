import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { splitLines } from '../../../src/primitives/lines.ts'

async function* chunksOf(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) {
    yield Buffer.from(text)
  }
}

async function read(maxBytes: number, ...texts: string[]): Promise<Array<[number, string | undefined, number]>> {
  const lines = await Array.fromAsync(splitLines(chunksOf(...texts), maxBytes))
  return lines.map(({ number, bytes, end }) => [number, bytes == null ? undefined : Buffer.from(bytes).toString(), end])
}

describe('the lines of a stream', () => {
  it('are numbered from 1, and each knows where the next begins', async () => {
    assert.deepEqual(await read(10, 'a\nbc\n\nd\n'), [
      [1, 'a', 2],
      [2, 'bc', 5],
      [3, '', 6],
      [4, 'd', 8],
    ])
  })

  it('are the same wherever the stream is cut into chunks', async () => {
    const text = 'one\n\nzwei — ü\r\nthree'
    const whole = await read(20, text)
    assert.deepEqual(
      whole.map(([, line]) => line),
      ['one', '', 'zwei — ü\r', 'three'],
    )
    const bytes = Buffer.from(text)
    for (const size of [1, 2, 3, 5, 7]) {
      const chunks = async function* (): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < bytes.byteLength; at += size) {
          yield bytes.subarray(at, at + size)
        }
      }
      const lines = await Array.fromAsync(splitLines(chunks(), 20))
      assert.deepEqual(
        lines.map(({ number, bytes: line, end }) => [number, line && Buffer.from(line).toString(), end]),
        whole,
      )
    }
  })

  it('of an empty stream are none', async () => {
    assert.deepEqual(await read(10), [])
    assert.deepEqual(await read(10, '', ''), [])
  })

  it('may be exactly as long as allowed; one that is longer is told of without being kept', async () => {
    assert.deepEqual(await read(3, 'abc\nab', 'cd\nabc\n', 'abcd'), [
      [1, 'abc', 4],
      [2, undefined, 9],
      [3, 'abc', 13],
      [4, undefined, 17],
    ])
  })

  it('that never end are not kept while they pass', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const buffers: Array<WeakRef<ArrayBuffer>> = []
    let kept = 0
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      while (buffers.length < 100) {
        const chunk = new Uint8Array(1_000)
        buffers.push(new WeakRef(chunk.buffer))
        yield chunk
        // what a WeakRef gave or was made of lives until the turn is over
        await setImmediate()
      }
      // in the middle of the line
      collectGarbage()
      kept = buffers.filter((buffer) => buffer.deref() != null).length
      yield Buffer.from('\nlast')
    }
    const lines = await Array.fromAsync(splitLines(endless(), 10_000))
    assert.deepEqual(
      lines.map(({ bytes }) => bytes?.byteLength),
      [undefined, 4],
    )
    assert.ok(kept <= 2, `${kept} of ${buffers.length} chunks are still there`)
  })

  it('are read no faster than they are asked for', async () => {
    let read = 0
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) {
        read++
        yield Buffer.from('a\nb\n')
      }
    }
    const lines = splitLines(counted(), 10)
    await lines.next()
    await lines.next()
    assert.equal(read, 1)
    await lines.next()
    assert.equal(read, 2)
    await lines.return(undefined)
  })

  it('come before the error that ends the stream', async () => {
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a\nb')
      throw new Error('broken')
    }
    const seen: number[] = []
    const reading = async (): Promise<void> => {
      for await (const { number } of splitLines(broken(), 10)) {
        seen.push(number)
      }
    }
    await assert.rejects(reading(), { message: 'broken' })
    assert.deepEqual(seen, [1])
  })
})
