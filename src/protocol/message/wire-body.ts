import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Body, MessageInParts } from '../api/message-in-parts.ts'

/** A body of known size. */
export interface SizedBody extends Body {
  readonly size: number
}

/** The bytes before the value of a protobuf field: its tag and the size of the value. Empty without a field. */
export function fieldPrefix(field: number | undefined, size: number): Uint8Array {
  return field == null ? new Uint8Array(0) : new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(size).finish()
}

/** The bytes of a message before the value of its body. An empty field is omitted. */
function beginningOf({ head, field }: Pick<MessageInParts, 'head' | 'field'>, size: number): Uint8Array {
  return size === 0 || field == null ? head : Buffer.concat([head, fieldPrefix(field, size)])
}

/** Size of a message with a body of this size. */
export function wireSize({ head, field }: Pick<MessageInParts, 'head' | 'field'>, size: number): number {
  return head.byteLength + (size === 0 ? 0 : fieldPrefix(field, size).byteLength) + size
}

/** The whole message as one body, in its form with a length prefix. */
export function wireBody({ head, field, body }: Omit<MessageInParts, 'body'> & { body: SizedBody }): SizedBody {
  const beginning = beginningOf({ head, field }, body.size)
  return { size: beginning.byteLength + body.size, chunks: behind(beginning, body.chunks) }
}

/** Yields these bytes, then the chunks. */
export async function* behind(beginning: Uint8Array, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (beginning.byteLength > 0) {
    yield beginning
  }
  yield* chunks
}
