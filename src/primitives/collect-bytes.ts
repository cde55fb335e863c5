import { raceSignal } from 'race-signal'
import { joinBytes } from './join-bytes.ts'

export interface CollectOptions {
  /** @default no bound */
  maxBytes?: number
  /** The error for a source of more than that. Nothing more is read of it. @default `it has more than … bytes` */
  tooMany?(maxBytes: number): Error
  /** Ends the wait for a source that gives nothing. */
  signal?: AbortSignal | undefined
}

/** All bytes of a source, in one piece. @throws what `tooMany` makes, what the source throws, the signal's reason */
export async function collectBytes(source: AsyncIterable<Uint8Array>, options: CollectOptions = {}): Promise<Buffer> {
  const { maxBytes = Number.POSITIVE_INFINITY, tooMany = defaultError, signal } = options
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of signal == null ? source : untilAborted(source, signal)) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) {
      throw tooMany(maxBytes)
    }
    chunks.push(chunk)
  }
  const all = joinBytes(chunks)
  return Buffer.from(all.buffer, all.byteOffset, all.byteLength)
}

async function* untilAborted(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]()
  try {
    for (let next = await raceSignal(iterator.next(), signal); next.done !== true; next = await raceSignal(iterator.next(), signal)) {
      yield next.value
    }
  } finally {
    // not waited for: the source may hang
    void iterator.return?.()?.catch(() => undefined)
  }
}

function defaultError(maxBytes: number): Error {
  return new Error(`it has more than ${maxBytes} bytes`)
}
