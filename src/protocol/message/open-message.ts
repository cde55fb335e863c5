import { setImmediate as turn } from 'node:timers/promises'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { raceSignal } from 'race-signal'
import { Spool } from '../../primitives/spool.ts'
import { tooLarge } from '../api/errors.ts'
import type { OpenMessage, SizedMessage } from '../api/message-stream.ts'

/** What comes before so many bytes of a field of this number. */
export function prefixOf(field: number, size: number): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(size).finish()
}

/**
 * Bytes as they come: those that are there already together, up to about `size` of them, and nothing waits for more. The last may be empty.
 * @throws what the chunks throw; the signal's reason
 */
export async function* asTheyCome(
  chunks: AsyncIterable<Uint8Array>,
  size: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ bytes: Uint8Array; last: boolean }> {
  const iterator = chunks[Symbol.asyncIterator]()
  const ask = (): Promise<IteratorResult<Uint8Array>> => {
    const next = iterator.next()
    // it is asked for before anybody waits for it
    next.catch(() => undefined)
    return next
  }
  try {
    let asked: Promise<IteratorResult<Uint8Array>> | undefined
    for (let last = false; !last; ) {
      const parts: Uint8Array[] = []
      let filled = 0
      let result: IteratorResult<Uint8Array> | undefined = await raceSignal(asked ?? ask(), signal)
      while (result != null && result.done !== true) {
        filled += result.value.byteLength
        if (filled >= size) {
          parts.push(result.value)
          asked = undefined
          break
        }
        // a copy: its memory may be used again once the next is asked for
        parts.push(new Uint8Array(result.value))
        asked = ask()
        result = await Promise.race([asked, turn(undefined)])
      }
      last = result?.done === true
      if (filled > 0 || last) {
        yield { bytes: parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts), last }
      }
    }
  } finally {
    void iterator.return?.()?.catch(() => undefined)
  }
}

/**
 * The same message with its length, for a wire on which that comes first: all of its bytes come into a spool, to be disposed of.
 * @throws ProtocolError LIMIT_EXCEEDED; what its chunks throw, and the spool; the signal's reason
 */
export async function withLength(
  { open: { field, head }, chunks }: OpenMessage,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<SizedMessage & AsyncDisposable> {
  const spool = new Spool()
  const iterator = chunks[Symbol.asyncIterator]()
  try {
    let prefix = new Uint8Array(0)
    for (let next = await raceSignal(iterator.next(), signal); next.done !== true; next = await raceSignal(iterator.next(), signal)) {
      prefix = new Uint8Array(prefixOf(field, spool.size + next.value.byteLength))
      const bytes = head.byteLength + prefix.byteLength + spool.size + next.value.byteLength
      if (bytes > maxBytes) {
        throw tooLarge(bytes, maxBytes, 'to send')
      }
      await spool.write(next.value)
    }
    const beginning = spool.size === 0 ? head : Buffer.concat([head, prefix])
    return {
      length: beginning.byteLength + spool.size,
      chunks: behind(beginning, spool.chunks()),
      [Symbol.asyncDispose]: async () => spool[Symbol.asyncDispose](),
    }
  } catch (error) {
    void iterator.return?.()?.catch(() => undefined)
    await spool[Symbol.asyncDispose]()
    throw error
  }
}

export async function* behind(beginning: Uint8Array, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (beginning.byteLength > 0) {
    yield beginning
  }
  yield* chunks
}
