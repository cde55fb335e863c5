import type { OutgoingSegment } from './outgoing-segment.ts'
import { encodeFrames, type FrameInit, MAX_FRAME_BYTES, MAX_PREFIX_BYTES, sizeOf } from './pipelined-frame.ts'
import { SendRate } from './send-rate.ts'

/** Given to the muxer at a time. */
export const BATCH_BYTES = 64 * 1024
/** Frames in a batch. With larger batches two sides with many calls would work by turns: each would wait for a whole batch of the other. */
const BATCH_FRAMES = 8
/** Frames that wait, and the bytes of messages in them. With more, messages wait with their writers. */
const MAX_FRAMES_AT_ONCE = 512
const MAX_FRAME_BYTES_AT_ONCE = 256 * 1024

/** A frame with a piece, as it is sent. */
const MAX_PIECE_FRAME_BYTES = MAX_PREFIX_BYTES + MAX_FRAME_BYTES

/**
 * The send queue of a kept stream. Frames leave first, in order. Messages of one piece follow, then large messages, each with a piece in turn, as many
 * at a time as the other side keeps up with.
 */
export class SendQueue {
  #frames: FrameInit[] = []
  /** Bytes of messages in these. */
  #frameBytes = 0
  readonly #small: OutgoingSegment[] = []
  readonly #large: OutgoingSegment[] = []
  readonly #rate = new SendRate()

  /** Frames that wait. */
  get frames(): number {
    return this.#frames.length
  }

  /** True while as much waits as leaves together. */
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

  /** Does nothing for a segment that is not in the queue. */
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

  /** The other side has read so many bytes of the stream. */
  acknowledged(bytes: number): void {
    this.#rate.acknowledged(bytes)
  }

  /** The bytes of the frames that leave now; undefined where none do. @param first a frame that leaves before all others */
  take(first: FrameInit | undefined): Uint8Array | undefined {
    const batch = new Batch()
    if (first != null) {
      batch.add(first)
    }
    this.#takeFrames(batch)
    if (this.#frames.length === 0) {
      this.#takePieces(this.#small, batch, () => batch.size < BATCH_BYTES)
      this.#takePieces(this.#large, batch, () => batch.size < BATCH_BYTES && this.#rate.room >= batch.size + MAX_PIECE_FRAME_BYTES)
    }
    // else the frames that wait have lower call numbers than new calls would get now
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

  /** In turn; a message without room in its own window is passed over. */
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

/** Frames that leave together. */
class Batch {
  readonly frames: FrameInit[] = []
  size = 0

  add(frame: FrameInit): void {
    this.frames.push(frame)
    this.size += sizeOf(frame)
  }
}
