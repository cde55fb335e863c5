import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { sizeDelimitedPeek, WireType } from '@bufbuild/protobuf/wire'
import * as varint from 'uint8-varint'
import { type Frame, FrameSchema, Reset } from '../gen/subnet/pipelined/v1/frame_pb.ts'
import { ProtocolError } from './errors.ts'
import type { UnreadBytes } from './unread-bytes.ts'

export { type Frame, Reset }

/** A frame to be sent; until it is encoded it may still be changed. */
export interface FrameInit extends Partial<Omit<Frame, '$typeName' | '$unknown'>> {
  encoded?: boolean
}

/** A piece of a message, and the other fields. */
const MAX_FRAME_BYTES = 16 * 1024 + 64
const MAX_PREFIX_BYTES = 3
const NOTHING = new Uint8Array(0)
const PIECE_TAG = (FrameSchema.field.piece.number << 3) | WireType.LengthDelimited

/** In parts, to be written one behind the other: a writer of protobuf would copy the piece three times. */
export function encodeFrame(frame: FrameInit): Uint8Array[] {
  const { encoded: _, piece = NOTHING, ...fields } = frame
  frame.encoded = true
  const others = toBinary(FrameSchema, create(FrameSchema, fields))
  const head = piece.byteLength > 0 ? [varint.encode(PIECE_TAG), varint.encode(piece.byteLength), piece] : []
  const length = head.reduce((sum, part) => sum + part.byteLength, others.byteLength)
  return [varint.encode(length), others, ...head]
}

/** Takes the next frame, if all of it is there. Its piece is a view: good until more bytes come. @throws ProtocolError REMOTE_FAILED */
export function takeFrame(unread: UnreadBytes): Frame | undefined {
  if (unread.length === 0) {
    return undefined
  }
  const bytes = unread.peek()
  const { eof, size, offset } = sizeDelimitedPeek(bytes.subarray(0, MAX_PREFIX_BYTES))
  if (eof) {
    if (bytes.byteLength >= MAX_PREFIX_BYTES) {
      throw new ProtocolError('REMOTE_FAILED', 'the peer sent a frame that is too long for a pipelined stream')
    }
    return undefined
  }
  if (size === 0) {
    throw new ProtocolError('REMOTE_FAILED', 'the peer sent a frame with nothing in it')
  }
  if (size > MAX_FRAME_BYTES) {
    throw new ProtocolError(
      'REMOTE_FAILED',
      `the peer sent a frame of ${size} bytes on a pipelined stream, over the limit of ${MAX_FRAME_BYTES}`,
    )
  }
  if (bytes.byteLength < offset + size) {
    return undefined
  }
  unread.skip(offset + size)
  return fromBinary(FrameSchema, bytes.subarray(offset, offset + size), { readUnknownFields: false })
}
