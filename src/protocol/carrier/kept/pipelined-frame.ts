import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import * as varint from 'uint8-varint'
import { type Frame as FrameMessage, FrameSchema, Reset } from '../../../gen/subnet/pipelined/v1/frame_pb.ts'
import { ProtocolError } from '../../api/errors.ts'
import { PIECE_BYTES } from './flow-control.ts'

export { Reset }

/** A frame of proto/subnet/pipelined/v1. */
export type Frame = Omit<FrameMessage, '$typeName' | '$unknown'>

/** A frame to send. It may be changed until it is encoded. */
export interface FrameInit extends Partial<Frame> {
  encoded?: boolean
}

/** Maximum size of a frame: a full piece and the other fields. */
export const MAX_FRAME_BYTES = PIECE_BYTES + 64
/** Maximum size of a frame's length prefix. */
export const MAX_PREFIX_BYTES = 3
const NOTHING = new Uint8Array(0)

const { field } = FrameSchema
const PIECE_TAG = (field.piece.number << 3) | WireType.LengthDelimited
/** All number and flag fields. Field numbers up to 15 have a one-byte tag. */
const VARINTS = (['call', 'length', 'last', 'end', 'window', 'reset', 'read', 'open'] as const).map((name) => ({
  name,
  tag: (field[name].number << 3) | WireType.Varint,
}))

/** Encoded size of a frame, including its length prefix. */
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
 * Encodes length-prefixed frames into one buffer. Encoding and decoding are hand-written: there are two frames per call, and with the
 * schema they would cost as much as all other work.
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

/** @throws Error for malformed protobuf */
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
 * Decodes frames from received bytes. A piece is a view of the received bytes, or of a copy if its frame arrived in parts. Neither buffer
 * is reused. Keeping a small view pins the whole buffer.
 */
export class FrameReader {
  #bytes: Uint8Array = NOTHING
  #at = 0
  /** Number of length prefix bytes read. */
  #prefixBytes = 0
  #size = 0
  /** Buffer of an incomplete frame. */
  #part: Uint8Array | undefined
  #partBytes = 0

  /** Adds received bytes. All complete frames must have been taken before. */
  feed(bytes: Uint8Array): void {
    // a plain view: Buffer methods (slice above all) differ from Uint8Array's
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = 0
  }

  /** The next complete frame. Undefined if there is none. @throws ProtocolError REMOTE_FAILED; Error for malformed protobuf */
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

  /** True once the prefix is complete. */
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
      throw new ProtocolError('REMOTE_FAILED', 'the peer sent an empty frame')
    }
    if (this.#size > MAX_FRAME_BYTES) {
      throw new ProtocolError(
        'REMOTE_FAILED',
        `the peer sent a frame of ${this.#size} bytes on a pipelined stream, over the limit of ${MAX_FRAME_BYTES}`,
      )
    }
  }
}
