import { ByteCollector } from '../../primitives/byte-collector.ts'
import { UsageError } from '../../primitives/errors.ts'
import type { Body } from '../api/message-in-parts.ts'

/** A body in memory. */
class WholeBody implements Body {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get size(): number {
    return this.bytes.byteLength
  }

  get chunks(): AsyncIterable<Uint8Array> {
    return once(this.bytes)
  }
}

/** Creates a body from bytes. */
export function bodyOf(bytes: Uint8Array): Body {
  return new WholeBody(bytes)
}

/**
 * Collects all bytes of a body, without a size limit. @throws UsageError if the body does not have its stated size; errors of its chunks
 */
export async function collectBody(body: Body): Promise<Uint8Array> {
  if (body instanceof WholeBody) {
    return body.bytes
  }
  const { size, chunks } = body
  const collector = new ByteCollector(size)
  for await (const chunk of chunks) {
    if (size != null && collector.size + chunk.byteLength > size) {
      throw notAsLong('longer', size)
    }
    collector.append(chunk)
  }
  if (size != null && collector.size < size) {
    throw notAsLong('shorter', size)
  }
  return collector.finish()
}

function notAsLong(comparison: string, size: number): UsageError {
  return new UsageError(`the body is ${comparison} than its declared size of ${size} bytes`)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.byteLength > 0) {
    yield bytes
  }
}
