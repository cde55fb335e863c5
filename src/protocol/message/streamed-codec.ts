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

/** A message with one streamed field. */
export interface StreamedMessage<Message> {
  /** The other fields. */
  message: Message
  body: Body
}

/** A message to send. A body in memory is sent in one piece. */
export interface StreamedInit<MessageInit> {
  message: MessageInit
  body: Body | Uint8Array
}

/** Maximum size of a body that is not worth streaming. */
export const SMALL_BODY_BYTES = 16 * 1024
/** Maximum size of the fields before the body. Larger ones are collected with the whole message. */
const MAX_HEAD_BYTES = 16 * 1024

/**
 * Creates a codec that streams the `bytes` field of this name. On the wire, a protobuf field is a tag, a length and its bytes, and a
 * message is a sequence of fields. The field is streamed if it is the last one, as written by encoders with ascending field numbers, and if
 * no list, map or message precedes it. Other messages are collected.
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
        : // a protobuf writer would copy it
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

/** Finds the first body field. `cut` if it is not within these bytes, `none` if only a decoder can tell. */
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
        // a decoder ignores this field
        return 'none'
      }
      if (field === body) {
        const size = reader.uint32()
        return { tagAt, start: reader.pos, size }
      }
      reader.skip(wireType, number)
    }
  } catch {
    // truncated within a field, or malformed: found out once the message is complete
  }
  return 'cut'
}

/** The wire type of a field whose end is found by skipping it. Undefined for other fields, whose content may end elsewhere. */
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
