import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import * as varint from 'uint8-varint'
import { type Frame as FrameMessage, FrameSchema, Reset } from '../../../gen/subnet/pipelined/v1/frame_pb.ts'
import { ProtocolError } from '../../api/errors.ts'
import { PIECE_BYTES } from './flow-control.ts'

export { Reset }

/** One frame of proto/subnet/pipelined/v1. */
export type Frame = Omit<FrameMessage, '$typeName' | '$unknown'>

/** A frame to be sent; until it is encoded it may still be changed. */
export interface FrameInit extends Partial<Frame> {
  encoded?: boolean
}

/** A piece of a message, and the other fields. */
export const MAX_FRAME_BYTES = PIECE_BYTES + 64
/** The length before a frame. */
export const MAX_PREFIX_BYTES = 3
const NOTHING = new Uint8Array(0)

const { field } = FrameSchema
const PIECE_TAG = (field.piece.number << 3) | WireType.LengthDelimited
/** All that are a number or a flag. A tag is one byte: no field has a number above 15. */
const VARINTS = (['call', 'length', 'last', 'end', 'window', 'reset', 'read', 'open'] as const).map((name) => ({
  name,
  tag: (field[name].number << 3) | WireType.Varint,
}))

/** Of a frame as it is sent, its length prefix included. */
export function sizeOf(frame: FrameInit): number {
  const bytes = bodySizeOf(frame)
  return varint.encodingLength(bytes) + bytes
}

function bodySizeOf(frame: FrameInit): number {
  const { piece = NOTHING } = frame
  let bytes = piece.byteLength === 0 ? 0 : 1 + varint.encodingLength(piece.byteLength) + piece.byteLength
  for (const { name } of VARINTS) {
    const value = Number(frame[name] ?? 0)
    bytes += value === 0 ? 0 : 1 + varint.encodingLength(value)
  }
  return bytes
}

/**
 * Frames one behind the other, each with its length before it, in one buffer. By hand, as is reading them: there are two for each call, and with the
 * schema, which knows neither of the buffer nor of the others, they cost as much as all else.
 */
export function encodeFrames(frames: readonly FrameInit[], size = frames.reduce((sum, frame) => sum + sizeOf(frame), 0)): Uint8Array {
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  const put = (value: number): void => {
    varint.encodeUint8Array(value, bytes, at)
    at += varint.encodingLength(value)
  }
  for (const frame of frames) {
    frame.encoded = true
    put(bodySizeOf(frame))
    for (const { name, tag } of VARINTS) {
      const value = Number(frame[name] ?? 0)
      if (value !== 0) {
        bytes[at++] = tag
        put(value)
      }
    }
    const { piece = NOTHING } = frame
    if (piece.byteLength > 0) {
      bytes[at++] = PIECE_TAG
      put(piece.byteLength)
      bytes.set(piece, at)
      at += piece.byteLength
    }
  }
  return bytes
}

/** @throws Error for bytes that are no protobuf */
function decodeFrame(bytes: Uint8Array): Frame {
  const frame: Frame = {
    call: 0,
    piece: NOTHING,
    length: 0,
    last: false,
    end: false,
    window: 0,
    reset: Reset.UNSPECIFIED,
    read: 0,
    open: 0,
  }
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag()
    if (number === field.piece.number && wireType === WireType.LengthDelimited) {
      frame.piece = reader.bytes()
    } else if (wireType === WireType.Varint) {
      readVarint(frame, number, reader)
    } else {
      reader.skip(wireType, number)
    }
  }
  return frame
}

function readVarint(frame: Frame, number: number, reader: BinaryReader): void {
  switch (number) {
    case field.call.number:
      frame.call = reader.uint32()
      break
    case field.length.number:
      frame.length = reader.uint32()
      break
    case field.last.number:
      frame.last = reader.bool()
      break
    case field.end.number:
      frame.end = reader.bool()
      break
    case field.window.number:
      frame.window = reader.uint32()
      break
    case field.reset.number:
      frame.reset = reader.int32() as Reset
      break
    case field.read.number:
      frame.read = reader.uint32()
      break
    case field.open.number:
      frame.open = reader.uint32()
      break
    default:
      reader.skip(WireType.Varint, number)
  }
}

/**
 * Takes frames out of the bytes of a stream as they come. A piece is a view: of the bytes that came, or, where a frame came in parts, of a copy of it.
 * Neither is used again, and whoever keeps a small one keeps all of it.
 */
export class FrameReader {
  #bytes: Uint8Array = NOTHING
  #at = 0
  /** Of the length before the next frame. */
  #prefixBytes = 0
  #size = 0
  /** What came of a frame that is not all there. */
  #part: Uint8Array | undefined
  #partBytes = 0

  /** Bytes that came. All frames of those before have to be taken. */
  feed(bytes: Uint8Array): void {
    // a plain view: Buffer methods (slice above all) differ from Uint8Array's
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = 0
  }

  /** The next frame, if all of it is there. @throws ProtocolError REMOTE_FAILED; Error for what is no protobuf */
  next(): Frame | undefined {
    if (this.#part != null) {
      return this.#nextOfParts(this.#part)
    }
    if (!this.#readPrefix()) {
      return undefined
    }
    const end = this.#at + this.#size
    if (end > this.#bytes.byteLength) {
      this.#part = new Uint8Array(this.#size)
      this.#partBytes = 0
      return this.#nextOfParts(this.#part)
    }
    const body = this.#bytes.subarray(this.#at, end)
    this.#at = end
    this.#nextFrame()
    return decodeFrame(body)
  }

  #nextOfParts(part: Uint8Array): Frame | undefined {
    const some = this.#bytes.subarray(this.#at, this.#at + part.byteLength - this.#partBytes)
    part.set(some, this.#partBytes)
    this.#at += some.byteLength
    this.#partBytes += some.byteLength
    if (this.#partBytes < part.byteLength) {
      return undefined
    }
    this.#nextFrame()
    return decodeFrame(part)
  }

  #nextFrame(): void {
    this.#prefixBytes = 0
    this.#size = 0
    this.#part = undefined
  }

  /** True once all of it is there. */
  #readPrefix(): boolean {
    for (;;) {
      const byte = this.#bytes[this.#at]
      if (byte == null) {
        return false
      }
      this.#at++
      this.#size |= (byte & 0x7f) << (7 * this.#prefixBytes++)
      if (byte < 0x80) {
        this.#checkSize()
        return true
      }
      if (this.#prefixBytes === MAX_PREFIX_BYTES) {
        throw new ProtocolError('REMOTE_FAILED', 'the peer sent a frame that is too long for a pipelined stream')
      }
    }
  }

  #checkSize(): void {
    if (this.#size === 0) {
      throw new ProtocolError('REMOTE_FAILED', 'the peer sent a frame with nothing in it')
    }
    if (this.#size > MAX_FRAME_BYTES) {
      throw new ProtocolError(
        'REMOTE_FAILED',
        `the peer sent a frame of ${this.#size} bytes on a pipelined stream, over the limit of ${MAX_FRAME_BYTES}`,
      )
    }
  }
}
