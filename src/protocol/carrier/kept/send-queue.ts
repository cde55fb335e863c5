import type { OutgoingSegment } from './outgoing-segment.ts'
import { encodeFrames, type FrameInit, MAX_FRAME_BYTES, MAX_PREFIX_BYTES, sizeOf } from './pipelined-frame.ts'
import { SendRate } from './send-rate.ts'

/** Maximum bytes passed to the muxer at once. */
export const BATCH_BYTES = 64 * 1024
/**
 * Maximum frames per batch. With larger batches, two sides with many calls would work alternately, each waiting for a whole batch of the
 * other.
 */
const BATCH_FRAMES = 8
/** Limits of queued frames and of their message bytes. Beyond them, messages wait with their writers. */
const MAX_FRAMES_AT_ONCE = 512
const MAX_FRAME_BYTES_AT_ONCE = 256 * 1024

/** Maximum size of an encoded frame with a piece. */
const MAX_PIECE_FRAME_BYTES = MAX_PREFIX_BYTES + MAX_FRAME_BYTES

/**
 * The send queue of a kept stream. Frames are sent first, in order. Messages of one piece follow. Large messages then take turns, one piece
 * each, at the rate that the peer keeps up with.
 */
export class SendQueue {
  #frames: FrameInit[] = []
  /** Message bytes of the queued frames. */
  #frameBytes = 0
  readonly #small: OutgoingSegment[] = []
  readonly #large: OutgoingSegment[] = []
  readonly #rate = new SendRate()

  /** Number of queued frames. */
  get frames(): number {
    return this.#frames.length
  }

  /** True if as much is queued as can be sent together. */
  get busy(): boolean {
    return this.#frames.length >= MAX_FRAMES_AT_ONCE || this.#frameBytes >= MAX_FRAME_BYTES_AT_ONCE
  }

  push(frame: FrameInit): void {
    this.#frames.push(frame)
    this.#frameBytes += frame.piece?.byteLength ?? 0
  }

  add(segment: OutgoingSegment): void {
    this.#queueOf(segment).push(segment)
  }

  /** Does nothing if the segment is not queued. */
  remove(segment: OutgoingSegment): void {
    const queue = this.#queueOf(segment)
    const index = queue.indexOf(segment)
    if (index >= 0) {
      queue.splice(index, 1)
    }
  }

  clear(): void {
    this.#frames = []
    this.#small.length = 0
    this.#large.length = 0
  }

  #queueOf(segment: OutgoingSegment): OutgoingSegment[] {
    return segment.isSmall ? this.#small : this.#large
  }

  /** Call when the peer has acknowledged read bytes. */
  acknowledged(bytes: number): void {
    this.#rate.acknowledged(bytes)
  }

  /** Encodes the frames to send now. Undefined if there are none. @param first a frame to send before all others */
  take(first: FrameInit | undefined): Uint8Array | undefined {
    const batch = new Batch()
    if (first != null) {
      batch.add(first)
    }
    this.#takeFrames(batch)
    // pieces follow once no frames are queued: queued frames have lower call numbers than new calls would get now
    if (this.#frames.length === 0) {
      this.#takePieces(this.#small, batch, () => batch.size < BATCH_BYTES)
      this.#takePieces(this.#large, batch, () => batch.size < BATCH_BYTES && this.#rate.room >= batch.size + MAX_PIECE_FRAME_BYTES)
    }
    if (batch.frames.length === 0) {
      return undefined
    }
    this.#rate.sent(batch.size, this.#large.length > 0)
    return encodeFrames(batch.frames, batch.size)
  }

  #takeFrames(batch: Batch): void {
    let taken = 0
    while (taken < this.#frames.length && batch.size < BATCH_BYTES && taken < BATCH_FRAMES) {
      const frame = this.#frames[taken++] as FrameInit
      this.#frameBytes -= frame.piece?.byteLength ?? 0
      if (frame.piece != null && this.#large.length > 0) {
        this.#rate.hurry()
      }
      batch.add(frame)
    }
    this.#frames = taken === this.#frames.length ? [] : this.#frames.slice(taken)
  }

  /** Takes pieces in turn. Skips a message whose own window is full. */
  #takePieces(queue: OutgoingSegment[], batch: Batch, hasRoom: () => boolean): void {
    let passedOver = 0
    while (passedOver < queue.length && hasRoom()) {
      const segment = queue.shift() as OutgoingSegment
      const piece = segment.nextPiece()
      passedOver = piece == null ? passedOver + 1 : 0
      if (piece != null) {
        batch.add(piece)
      }
      if (!segment.hasLeft) {
        queue.push(segment)
      }
    }
  }
}

/** Frames sent together. */
class Batch {
  readonly frames: FrameInit[] = []
  size = 0

  add(frame: FrameInit): void {
    this.frames.push(frame)
    this.size += sizeOf(frame)
  }
}
