import { UsageError } from '../../../primitives/errors.ts'
import { tooLarge } from '../../api/errors.ts'
import type { MessageInParts } from '../../api/message-in-parts.ts'
import type { WriteOptions } from '../../api/message-stream.ts'
import { coalesce } from '../../message/coalesce.ts'
import { segmentsOf } from '../../message/segments.ts'
import { type SizedBody, wireBody } from '../../message/wire-body.ts'
import type { CallBounds } from './call-bounds.ts'
import type { CallState } from './call-state.ts'
import { PIECE_BYTES } from './flow-control.ts'
import { OutgoingSegment, type SegmentInit } from './outgoing-segment.ts'
import type { FrameInit } from './pipelined-frame.ts'
import { SendWindow } from './send-window.ts'

/** Segment size of a streamed message, in bytes. */
const SEGMENT_BYTES = 16 * PIECE_BYTES

/** The stream of a call, shared with other calls. */
export interface FrameSender {
  /** True while small messages should wait too. */
  readonly busy: boolean
  /** Queues a frame before messages in pieces. The frame may be changed until it is encoded. */
  send(frame: FrameInit): void
  sendInPieces(segment: OutgoingSegment): void
  drop(segment: OutgoingSegment): void
}

/**
 * The outbound messages of one call. A small message is sent in a single frame. Others are split into segments, which are sent in pieces.
 */
export class CallWriter {
  readonly #bounds: CallBounds
  readonly #state: CallState
  readonly #sender: FrameSender
  readonly #number: () => number
  readonly #window = new SendWindow()
  #segment: OutgoingSegment | undefined
  #lastFrame: FrameInit | undefined

  /** @param number the call's number on its stream, read when a frame is sent */
  constructor(bounds: CallBounds, state: CallState, sender: FrameSender, number: () => number) {
    this.#bounds = bounds
    this.#state = state
    this.#sender = sender
    this.#number = number
  }

  /** Call when the receiver has opened its window. */
  grow(bytes: number): void {
    this.#window.grow(bytes)
  }

  /** As `MessageStream.write`. */
  async write(bytes: Uint8Array, options: WriteOptions): Promise<void> {
    const { length } = bytes
    checkSize(length, this.#bounds.limits.maxFrameBytes)
    options.signal?.throwIfAborted()
    this.#state.checkWritable()
    if (length <= PIECE_BYTES && this.#window.fits(length) && !this.#sender.busy) {
      this.#lastFrame = { call: this.#number(), piece: bytes, last: true }
      this.#window.take(length)
      this.#sender.send(this.#lastFrame)
      return
    }
    await this.#writeSegment({ bytes, length, last: true }, options)
  }

  /** As `MessageStream.writeMessage`. */
  async writeMessage({ head, field, body: { size, chunks } }: MessageInParts, options: WriteOptions): Promise<void> {
    await (size == null
      ? this.#writeOpen({ head, field, chunks }, options)
      : this.#writeSized(wireBody({ head, field, body: { size, chunks } }), options))
  }

  async #writeSized(body: SizedBody, options: WriteOptions): Promise<void> {
    checkSize(body.size, this.#bounds.limits.maxStreamedBytes)
    let sent = 0
    for await (const bytes of segmentsOf(body, SEGMENT_BYTES, options.signal)) {
      const length = sent === 0 ? body.size : undefined
      sent += bytes.byteLength
      await this.#writeSegment({ bytes, length, last: sent === body.size }, options)
    }
    if (body.size === 0) {
      await this.write(new Uint8Array(0), options)
    }
  }

  /** Writes the head of a message, then streams the value of its field. */
  async #writeOpen({ head, field, chunks }: OpenMessage, options: WriteOptions): Promise<void> {
    if (field == null) {
      throw new UsageError('a body of unknown size has to be the value of a field')
    }
    if (head.byteLength > PIECE_BYTES) {
      throw new UsageError(`the fields beside a body of unknown size have ${head.byteLength} bytes, more than ${PIECE_BYTES}`)
    }
    options.signal?.throwIfAborted()
    this.#state.sendOpen()
    await this.#writeSegment({ bytes: head, open: field, last: false }, options)
    let sent = head.byteLength
    for await (const { bytes, last } of coalesce(chunks, SEGMENT_BYTES, options.signal)) {
      sent += bytes.byteLength
      checkSize(sent, this.#bounds.limits.maxStreamedBytes)
      await this.#writeSegment({ bytes, last }, options)
    }
  }

  async #writeSegment(init: SegmentInit, options: WriteOptions): Promise<void> {
    this.#state.checkWritable()
    const segment = new OutgoingSegment(init, this.#window, this.#number)
    this.#segment = segment
    this.#lastFrame = undefined
    this.#sender.sendInPieces(segment)
    try {
      await segment.untilOver(options)
      if (!segment.hasLeft) {
        this.#state.checkWritable()
      }
    } finally {
      this.#segment = undefined
      this.#sender.drop(segment)
    }
  }

  /** Signals that no message follows, usually in the frame of the last message if that is not encoded yet. */
  sendEnd(): void {
    if (this.#lastFrame != null && this.#lastFrame.encoded !== true) {
      this.#lastFrame.end = true
    } else {
      this.#sender.send({ call: this.#number(), end: true })
    }
  }

  /** Call when the call has ended on either side. Drops the waiting segment. */
  stop(): void {
    if (this.#segment != null) {
      this.#sender.drop(this.#segment)
      this.#segment.stop()
    }
  }
}

interface OpenMessage extends Pick<MessageInParts, 'head' | 'field'> {
  chunks: AsyncIterable<Uint8Array>
}

function checkSize(bytes: number, maxBytes: number): void {
  if (bytes > maxBytes) {
    throw tooLarge(bytes, maxBytes, 'to send')
  }
}
