import { joinBytes } from './join-bytes.ts'

/** One line of a byte stream. */
export interface Line {
  /** Starts at 1. */
  number: number
  /** Without the line feed; undefined for a line that exceeds the maximum length. */
  bytes: Uint8Array | undefined
  /** The position of the next line, in bytes from the start of the stream. */
  end: number
}

const LINE_FEED = 10

/**
 * Splits a stream into lines on demand. A line of more than `maxBytes` is skipped without being stored. The last line may lack its line
 * feed. An error of `chunks` is thrown after the last complete line.
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
