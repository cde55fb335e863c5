import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { Deadline } from '../../../primitives/deadline.ts'
import { Roster } from '../../../primitives/roster.ts'
import { ProtocolError } from '../../api/errors.ts'
import { NotTakenError } from '../../api/not-taken-error.ts'
import { closeInTime } from '../negotiate/close-in-time.ts'
import { lostUnconfirmed, notTaken } from '../negotiate/negotiation.ts'
import { resetUnlessClosed } from '../negotiate/reset-unless-closed.ts'
import type { CallBounds } from './call-bounds.ts'
import type { OutgoingSegment } from './outgoing-segment.ts'
import { type CallCarrier, PipelinedCall } from './pipelined-call.ts'
import { encodeFrames, type Frame, type FrameInit, FrameReader } from './pipelined-frame.ts'
import { BATCH_BYTES, SendQueue } from './send-queue.ts'

/** Maximum bytes sent in one turn of the event loop. Received bytes are then read. */
const MAX_BYTES_A_TURN = 4 * BATCH_BYTES
/** Read bytes are acknowledged to the peer at this interval. */
const ACKNOWLEDGE_EVERY_BYTES = 32 * 1024
/** Maximum queued refusals while the peer does not read. A peer can cause refusals without end; messages are queued elsewhere. */
const MAX_WAITING_FRAMES = 8_192
const MAX_CALL_ID = 0xffff_ffff
const PIPELINES = new WeakMap<Stream, Pipeline>()

/** Number of calls in progress on a kept stream. Undefined for any other stream. */
export function callsOn(stream: Stream): number | undefined {
  return PIPELINES.get(stream)?.size
}

export interface PipelineInit {
  stream: Stream
  /** Time limit for the peer to read the last frames, in milliseconds. */
  stallTimeoutMs: number
  /** On the serving side: limits of calls, and their consumer. */
  answers?: { bounds: CallBounds; onCall(call: PipelinedCall): void } | undefined
  /** Idle timeout in milliseconds. The stream is closed after this time without calls. */
  idleMs: number
  /** Called for each frame from the peer. */
  onFrame?: (() => void) | undefined
  /** Called once when the stream has ended, with the reason if it broke. */
  onClosed: (reason: Error | undefined) => void
}

/**
 * Carries many calls on one kept stream, with the frames of proto/subnet/pipelined/v1. Small messages are sent first, each in a single
 * frame. Large messages take turns in pieces, at the rate that the peer keeps up with. A protocol violation ends the stream.
 */
export class Pipeline implements CallCarrier {
  readonly #init: PipelineInit
  readonly #stream: Stream
  readonly #calls = new Roster<PipelinedCall>()
  #lastCall = 0
  readonly #reader = new FrameReader()
  readonly #queue = new SendQueue()
  /** Bytes read but not acknowledged yet. */
  #unacknowledged = 0
  #acknowledging = false
  #flushing = false
  #blocked = false
  /** True if neither side begins further calls. */
  #draining = false
  #closed = false
  /** True once any data was received. */
  #heard = false
  #idle: NodeJS.Timeout | undefined

  constructor(init: PipelineInit) {
    const { stream } = init
    this.#init = init
    this.#stream = stream
    PIPELINES.set(stream, this)
    stream.addEventListener('message', this.#onMessage)
    stream.addEventListener('idle', this.#onRoom)
    stream.addEventListener('drain', this.#onRoom)
    stream.addEventListener('remoteCloseWrite', this.#onRemoteClose)
    stream.addEventListener('close', this.#onClose)
    this.#waitForCalls()
    // after the messages that the stream buffered for its first listener
    queueMicrotask(this.#catchUp)
  }

  get stream(): Stream {
    return this.#stream
  }

  /** Number of calls in progress. */
  get size(): number {
    return this.#calls.size
  }

  /** False if a new call needs another stream. */
  get open(): boolean {
    return !this.#draining && !this.#closed && this.#stream.status === 'open' && this.#stream.writeStatus === 'writable'
  }

  begin(bounds: CallBounds): PipelinedCall {
    const call = this.#enter(undefined, bounds)
    this.#draining ||= this.#lastCall + this.#calls.size >= MAX_CALL_ID
    return call
  }

  nextNumber(): number {
    return ++this.#lastCall
  }

  /** Stops accepting and beginning calls. The stream is closed when the calls in progress have ended. */
  close(): void {
    this.#draining = true
    if (this.#calls.size === 0) {
      this.#waitForCalls()
    }
    this.#closeIfDone()
  }

  /** Ends the stream and all its calls with this reason. */
  abort(reason: Error): void {
    this.#end(reason)
    this.#stream.abort(reason)
  }

  send(frame: FrameInit): void {
    if (this.#closed) {
      return
    }
    this.#queue.push(frame)
    if (this.#queue.frames > MAX_WAITING_FRAMES) {
      this.abort(new ProtocolError('REMOTE_FAILED', 'the peer sends requests, but does not read the answers'))
      return
    }
    this.#flushSoon()
  }

  /** True while frames cannot be sent. A message then waits with its writer, not in memory. */
  get busy(): boolean {
    return this.#blocked || this.#queue.busy
  }

  sendInPieces(segment: OutgoingSegment): void {
    this.#queue.add(segment)
    this.#flushSoon()
  }

  drop(segment: OutgoingSegment): void {
    this.#queue.remove(segment)
  }

  forget(call: PipelinedCall): void {
    this.#calls.leave(call.place)
    if (this.#calls.size === 0) {
      this.#waitForCalls()
    }
    if (this.#draining) {
      this.#flushSoon()
    }
  }

  #enter(id: number | undefined, bounds: CallBounds): PipelinedCall {
    clearTimeout(this.#idle)
    const call = new PipelinedCall(id, bounds, this)
    call.place = this.#calls.enter(call)
    return call
  }

  /** Starts the idle timer. It closes an unused stream, or aborts a closing stream whose last frames are not read. */
  #waitForCalls(): void {
    clearTimeout(this.#idle)
    if (this.#closed) {
      return
    }
    this.#idle = this.#draining
      ? setTimeout(() => this.abort(new Error('the other side does not read')), this.#init.stallTimeoutMs)
      : setTimeout(() => this.close(), this.#init.idleMs)
    this.#idle.unref()
  }

  /** Sends at the end of this turn, so that all frames of the turn are sent together. */
  #flushSoon(): void {
    if (!this.#flushing && !this.#blocked && !this.#closed) {
      this.#flushing = true
      process.nextTick(this.#flush)
    }
  }

  readonly #flush = (): void => {
    this.#flushing = false
    try {
      for (let sent = 0; !this.#blocked && !this.#closed; ) {
        if (sent >= MAX_BYTES_A_TURN) {
          setImmediate(() => this.#flushSoon())
          return
        }
        const bytes = this.#queue.take(this.#acknowledgement())
        if (bytes == null) {
          this.#closeIfDone()
          return
        }
        sent += bytes.byteLength
        this.#blocked = !this.#stream.send(bytes)
      }
    } catch (error) {
      this.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** The frame that acknowledges read bytes, once there are enough. */
  #acknowledgement(): FrameInit | undefined {
    if (this.#unacknowledged < ACKNOWLEDGE_EVERY_BYTES) {
      return undefined
    }
    const read = this.#unacknowledged
    this.#unacknowledged = 0
    return { read }
  }

  readonly #onRoom = (): void => {
    // 'drain' is dispatched to all streams of a connection, even if this stream's reader accepted nothing
    if (this.#blocked && this.#stream.writeBufferLength === 0) {
      this.#blocked = false
      this.#flushSoon()
    }
  }

  /** Handles stream events from before the listeners were added. */
  readonly #catchUp = (): void => {
    if (this.#stream.status !== 'open') {
      this.#end(new Error('the stream is closed'))
    } else if (this.#stream.remoteWriteStatus === 'closed') {
      this.#onRemoteClose()
    }
  }

  readonly #onMessage = ({ data }: StreamMessageEvent): void => {
    if (this.#closed) {
      return
    }
    this.#heard = true
    try {
      for (const chunk of data instanceof Uint8Array ? [data] : data) {
        this.#reader.feed(chunk)
        for (let frame = this.#reader.next(); frame != null && !this.#closed; frame = this.#reader.next()) {
          this.#receive(frame)
        }
      }
    } catch (cause) {
      this.abort(cause instanceof ProtocolError ? cause : new ProtocolError('REMOTE_FAILED', 'the peer sent an invalid frame', { cause }))
      return
    }
    this.#unacknowledged += data.byteLength
    if (this.#unacknowledged >= ACKNOWLEDGE_EVERY_BYTES && !this.#acknowledging) {
      // once for all available chunks
      this.#acknowledging = true
      setImmediate(this.#acknowledge)
    }
  }

  readonly #acknowledge = (): void => {
    this.#acknowledging = false
    this.#flushSoon()
  }

  #receive(frame: Frame): void {
    this.#init.onFrame?.()
    if (frame.call === 0) {
      this.#receiveOfStream(frame)
      return
    }
    const known = this.#calls.find(({ id }) => id === frame.call)
    if (known != null) {
      known.receive(frame)
      if (frame.window > 0) {
        this.#flushSoon()
      }
      return
    }
    if (frame.call <= this.#lastCall || this.#draining) {
      // the call has ended here or is not accepted: the pending close tells the peer
      return
    }
    const { answers } = this.#init
    if (answers == null) {
      throw new ProtocolError('REMOTE_FAILED', `the peer answered call ${frame.call}, which was not made`)
    }
    this.#lastCall = frame.call
    const call = this.#enter(frame.call, answers.bounds)
    // before the consumer reads: most requests are complete then
    call.receive(frame)
    if (!call.over) {
      answers.onCall(call)
    }
  }

  #receiveOfStream({ read, end }: Frame): void {
    if (end && this.#init.answers == null) {
      this.#breakCalls((call) =>
        call.heard
          ? new Error('the peer gave up the call')
          : new NotTakenError('goodbye', 'the peer closed the stream before it took the call'),
      )
      this.close()
    }
    this.#queue.acknowledged(read)
    this.#flushSoon()
  }

  /** The peer sends no more: no further calls, or without a goodbye, no further responses. */
  readonly #onRemoteClose = (): void => {
    if (this.#init.answers == null && (!this.#draining || this.#calls.size > 0)) {
      this.abort(new Error('the peer closed the stream'))
    } else {
      this.close()
    }
  }

  readonly #onClose = ({ error }: StreamCloseEvent): void => this.#end(error ?? new Error('the stream is closed'))

  #closeIfDone(): void {
    if (this.#draining && !this.#closed && this.#calls.size === 0 && this.#queue.frames === 0) {
      this.#closed = true
      clearTimeout(this.#idle)
      this.#closeStream().catch((error) => this.#stream.abort(error))
      resetUnlessClosed(this.#stream, this.#init.stallTimeoutMs)
      this.#init.onClosed(undefined)
    }
  }

  async #closeStream(): Promise<void> {
    if (this.#init.answers != null) {
      this.#stream.send(encodeFrames([{ end: true }]))
    }
    await closeInTime(this.#stream, new Deadline(this.#init.stallTimeoutMs))
  }

  #breakCalls(reasonFor: (call: PipelinedCall) => Error): void {
    for (const call of this.#calls) {
      call.break(reasonFor(call))
    }
  }

  #end(reason: Error): void {
    if (this.#closed) {
      return
    }
    this.#closed = true
    clearTimeout(this.#idle)
    this.#queue.clear()
    const failure = notTaken(this.#stream, reason, this.#heard) ?? lostUnconfirmed(this.#stream, reason) ?? reason
    this.#breakCalls(() => failure)
    this.#init.onClosed(reason)
  }
}
