import { joinBytes } from './join-bytes.ts'
import { untilAborted } from './until-aborted.ts'

export interface CollectOptions {
  /** @default no limit */
  maxBytes?: number
  /** The error for a larger source, which is not read further. @default `it has more than … bytes` */
  tooMany?(maxBytes: number): Error
  /** Ends the wait for a silent source. */
  signal?: AbortSignal | undefined
}

/** All bytes of a source in one array. @throws the error of `tooMany`, the source's error, the signal's reason */
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

function defaultError(maxBytes: number): Error {
  return new Error(`it has more than ${maxBytes} bytes`)
}
