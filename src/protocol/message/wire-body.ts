import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Body, MessageInParts } from '../api/message-in-parts.ts'

/** A body whose size is known. */
export interface SizedBody extends Body {
  readonly size: number
}

/** The bytes before the value of a protobuf field: its tag and the value's size. None where there is no field. */
export function fieldPrefix(field: number | undefined, size: number): Uint8Array {
  return field == null ? new Uint8Array(0) : new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(size).finish()
}

/** The bytes of a message before the value of its body. A field that is empty is left out. */
function beginningOf({ head, field }: Pick<MessageInParts, 'head' | 'field'>, size: number): Uint8Array {
  return size === 0 || field == null ? head : Buffer.concat([head, fieldPrefix(field, size)])
}

/** How many bytes a message has, with a body of this size. */
export function wireSize({ head, field }: Pick<MessageInParts, 'head' | 'field'>, size: number): number {
  return head.byteLength + (size === 0 ? 0 : fieldPrefix(field, size).byteLength) + size
}

/** All bytes of a message, as they are where its length comes first. */
export function wireBody({ head, field, body }: Omit<MessageInParts, 'body'> & { body: SizedBody }): SizedBody {
  const beginning = beginningOf({ head, field }, body.size)
  return { size: beginning.byteLength + body.size, chunks: behind(beginning, body.chunks) }
}

/** These bytes, then the chunks. */
export async function* behind(beginning: Uint8Array, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (beginning.byteLength > 0) {
    yield beginning
  }
  yield* chunks
}
