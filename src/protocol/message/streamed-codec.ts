import {
  create,
  type DescField,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import type { Body, IncomingMessage } from '../api/message-in-parts.ts'
import { bodyOf } from './body-bytes.ts'
import { type Codec, type Collect, protobufCodec } from './codec.ts'
import { behind, fieldPrefix } from './wire-body.ts'

/** A message, and beside it the bytes of the one field that is streamed. */
export interface StreamedMessage<Message> {
  /** Its other fields. */
  message: Message
  body: Body
}

/** What may be written of one: a body whose bytes are there already is sent in one piece. */
export interface StreamedInit<MessageInit> {
  message: MessageInit
  body: Body | Uint8Array
}

/** Bodies up to this are not worth streaming. */
export const SMALL_BODY_BYTES = 16 * 1024
/** The fields before the body are within this, or all of the message is collected. */
const MAX_HEAD_BYTES = 16 * 1024

/**
 * A codec of messages whose `bytes` field of this name is not held in memory: on the wire a protobuf field is a tag, a length and its bytes, and a
 * message is its fields one behind the other. The field is streamed where it is the last one, as every writer puts it whose field numbers rise, and
 * no list, map or message comes before it; any other message is collected.
 * Source: https://protobuf.dev/programming-guides/encoding/
 */
export function streamedCodec<Desc extends DescMessage>(
  schema: Desc,
  fieldName: string,
): Codec<StreamedInit<MessageInitShape<Desc>>, StreamedMessage<MessageShape<Desc>>> {
  const field = schema.fields.find(({ name }) => name === fieldName)
  if (field == null) {
    throw new Error(`${schema.typeName} has no field ${fieldName}`)
  }
  const whole = protobufCodec(schema)
  const decode = (bytes: Uint8Array): StreamedMessage<MessageShape<Desc>> => {
    const message = whole.decode(bytes)
    const value = (message as Record<string, unknown>)[field.localName] as Uint8Array
    ;(message as Record<string, unknown>)[field.localName] = new Uint8Array(0)
    return { message, body: bodyOf(value) }
  }
  return {
    encode: ({ message, body: given }) => {
      const head = toBinary(schema, create(schema, message))
      if (!(given instanceof Uint8Array)) {
        return { head, field: field.number, body: given }
      }
      if (given.byteLength === 0) {
        return head
      }
      return given.byteLength <= SMALL_BODY_BYTES
        ? Buffer.concat([head, fieldPrefix(field.number, given.byteLength), given])
        : // a writer of protobuf would copy it
          { head, field: field.number, body: bodyOf(given) }
    },
    decode,
    decodeStream: async (incoming, collect) => decodeStream({ schema, field, whole, decode }, incoming, collect),
  }
}

interface Parts<Desc extends DescMessage> {
  schema: Desc
  field: DescField
  whole: Codec<unknown, MessageShape<Desc>>
  decode: (bytes: Uint8Array) => StreamedMessage<MessageShape<Desc>>
}

async function decodeStream<Desc extends DescMessage>(
  { schema, field, whole, decode }: Parts<Desc>,
  incoming: IncomingMessage,
  collect: Collect,
): Promise<StreamedMessage<MessageShape<Desc>>> {
  const { size: length, chunks } = incoming.body
  if (incoming.field === field.number) {
    const { message } = decode(incoming.head)
    return { message, body: incoming.body }
  }
  if (length == null || length <= SMALL_BODY_BYTES) {
    return decode(await collect(new Uint8Array(0)))
  }
  let head = (await incoming.next()) ?? new Uint8Array(0)
  let body = bodyAt(head, schema, field)
  while (body === 'cut' && head.byteLength < Math.min(length, MAX_HEAD_BYTES)) {
    head = Buffer.concat([head, (await incoming.next()) ?? new Uint8Array(0)])
    body = bodyAt(head, schema, field)
  }
  if (typeof body === 'string' || body.start > MAX_HEAD_BYTES || body.start + body.size !== length) {
    return decode(await collect(head))
  }
  const { start, size, tagAt } = body
  const message = whole.decode(head.subarray(0, tagAt))
  return { message, body: { size, chunks: behind(head.subarray(start), chunks) } }
}

/** Where the first of these fields begins; `cut` where it does not begin in these bytes, `none` where only a decoder knows. */
function bodyAt(
  bytes: Uint8Array,
  { fields }: DescMessage,
  body: DescField,
): { tagAt: number; start: number; size: number } | 'cut' | 'none' {
  const reader = new BinaryReader(bytes)
  try {
    while (reader.pos < reader.len) {
      const tagAt = reader.pos
      const [number, wireType] = reader.tag()
      const field = fields.find((known) => known.number === number)
      if (field != null && wireType !== wireTypeOf(field)) {
        // a decoder does not look at it
        return 'none'
      }
      if (field === body) {
        const size = reader.uint32()
        return { tagAt, start: reader.pos, size }
      }
      reader.skip(wireType, number)
    }
  } catch {
    // cut in the middle of a field, or no message at all: whoever has all of it finds out
  }
  return 'cut'
}

/** Of a field that a decoder leaves where whoever skips it does; undefined of others: what is in them may end behind them. */
function wireTypeOf({ fieldKind, scalar }: DescField): WireType | undefined {
  if (fieldKind !== 'scalar') {
    return fieldKind === 'enum' ? WireType.Varint : undefined
  }
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
    case ScalarType.FLOAT:
      return WireType.Bit32
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.DOUBLE:
      return WireType.Bit64
    default:
      return WireType.Varint
  }
}
