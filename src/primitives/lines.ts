import { joinBytes } from './join-bytes.ts'

/** One line of a stream of bytes. */
export interface Line {
  /** From 1 on. */
  number: number
  /** Without the line feed; undefined of a line that is longer than allowed. */
  bytes: Uint8Array | undefined
  /** Where the next line begins, in bytes from the start of the stream. */
  end: number
}

const LINE_FEED = 10

/**
 * Cuts a stream into lines, as fast as they are asked for. A line of more than `maxBytes` is passed over without being kept. A last line
 * may lack its line feed. What `chunks` throws is thrown behind the last whole line.
 */
export async function* splitLines(chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Line> {
  let [number, end, length] = [0, 0, 0]
  let kept: Uint8Array[] = []
  const add = (piece: Uint8Array): void => {
    length += piece.byteLength
    end += piece.byteLength
    if (length > maxBytes) {
      kept = []
    } else {
      kept.push(piece)
    }
  }
  const finish = (): Line => {
    const bytes = length > maxBytes ? undefined : joinBytes(kept)
    length = 0
    kept = []
    return { number: ++number, bytes, end }
  }
  for await (const chunk of chunks) {
    let from = 0
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      add(chunk.subarray(from, at))
      from = at + 1
      end++
      yield finish()
    }
    add(chunk.subarray(from))
  }
  if (length > 0) {
    yield finish()
  }
}
