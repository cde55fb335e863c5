import { setImmediate as turn } from 'node:timers/promises'
import { raceSignal } from 'race-signal'
import { joinBytes } from '../../primitives/join-bytes.ts'

/**
 * Joins available chunks up to about `size` bytes. It does not wait for more, so a single byte is passed on at once. The last item may be
 * empty.
 * @throws errors of the chunks; the signal's reason
 */
export async function* coalesce(
  chunks: AsyncIterable<Uint8Array>,
  size: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ bytes: Uint8Array; last: boolean }> {
  const iterator = chunks[Symbol.asyncIterator]()
  const ask = (): Promise<IteratorResult<Uint8Array>> => {
    const next = iterator.next()
    // may reject before it is awaited
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
        // a copy: the source may reuse the memory once the next chunk is requested
        parts.push(new Uint8Array(result.value))
        asked = ask()
        result = await Promise.race([asked, turn(undefined)])
      }
      last = result?.done === true
      if (filled > 0 || last) {
        yield { bytes: joinBytes(parts), last }
      }
    }
  } finally {
    void iterator.return?.()?.catch(() => undefined)
  }
}
