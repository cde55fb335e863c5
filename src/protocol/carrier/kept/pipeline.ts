import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { startDeadline } from '../../../primitives/deadline.ts'
import { Roster } from '../../../primitives/roster.ts'
import { NotTakenError } from '../../api/call-stream.ts'
import { ProtocolError } from '../../api/errors.ts'
import { closeInTime, lingerUntilClosed } from '../negotiate/linger.ts'
import { lostUnconfirmed, notTaken } from '../negotiate/negotiation.ts'
import { type CallBounds, type CallCarrier, type Outgoing, PIECE_BYTES, PipelinedCall } from './pipelined-call.ts'
import { encodeFrames, type Frame, type FrameInit, FrameReader, sizeOf } from './pipelined-frame.ts'
import { SendRate } from './send-rate.ts'

/** Given to the muxer at a time. */
const BATCH_BYTES = 64 * 1024
/** Then what has come in the meantime has its turn. */
const MAX_BYTES_A_TURN = 4 * BATCH_BYTES
/** The other side is told of what was read after so much. */
const ACKNOWLEDGE_EVERY_BYTES = 32 * 1024
/** Of whole messages, in it: with more, two sides that have many calls under way would work by turns, each waiting for all that the other has. */
const BATCH_FRAMES = 8
/** Frames that leave together, and the bytes of messages in them: what is more waits where its writer does. */
const MAX_FRAMES_AT_ONCE = 512
const MAX_FRAME_BYTES_AT_ONCE = 256 * 1024
/** Frames that wait while the other side does not read. Messages wait elsewhere: these are refusals, without end if it goes on sending. */
const MAX_WAITING_FRAMES = 8_192
const MAX_CALL_ID = 0xffff_ffff
const PIPELINES = new WeakMap<Stream, Pipeline>()

/** How many calls are under way on a kept stream; undefined for any other stream. */
export function callsOn(stream: Stream): number | undefined {
  return PIPELINES.get(stream)?.size
}

export interface PipelineInit {
  stream: Stream
  /** How long the other side may take to read the last frames, in milliseconds. */
  stallTimeoutMs: number
  /** On the side that answers: what calls may take, and who takes them over. */
  answers?: { bounds: CallBounds; onCall(call: PipelinedCall): void } | undefined
  /** Without calls for so long, in milliseconds, the stream is closed. */
  idleMs: number
  /** Told of each frame of the other side. */
  onFrame?: (() => void) | undefined
  /** Told once when it is over, with a reason where it broke. */
  onClosed: (reason: Error | undefined) => void
}

/**
 * Many calls on one kept stream, by the frames of proto/subnet/pipelined/v1: whole small messages go first, large ones in pieces, in turn, as
 * many at a time as the other side keeps up with. What no peer that keeps to the protocol sends ends the stream.
 */
export class Pipeline implements CallCarrier {
  readonly #init: PipelineInit
  readonly #stream: Stream
  readonly #calls = new Roster<PipelinedCall>()
  #lastCall = 0
  readonly #reader = new FrameReader()
  /** Leave in order, before any piece. */
  #frames: FrameInit[] = []
  /** Of messages, in these. */
  #frameBytes = 0
  /** Messages of one piece that wait for room; then those of many, each of which gives a piece in turn. */
  readonly #small: Outgoing[] = []
  readonly #large: Outgoing[] = []
  readonly #rate = new SendRate()
  #unacknowledged = 0
  #acknowledging = false
  #flushing = false
  #blocked = false
  /** The other side, or this one, begins no more calls. */
  #draining = false
  #closed = false
  /** A byte of the other side has come. */
  #heard = false
  #idle: NodeJS.Timeout | undefined

  constructor(init: PipelineInit) {
    this.#init = init
    this.#stream = init.stream
    const { stream } = init
    PIPELINES.set(stream, this)
    stream.addEventListener('message', this.#onMessage)
    stream.addEventListener('idle', this.#onRoom)
    stream.addEventListener('drain', this.#onRoom)
    stream.addEventListener('remoteCloseWrite', this.#onRemoteClose)
    stream.addEventListener('close', this.#onClose)
    this.#waitForCalls()
    // behind what the stream has kept for a listener
    queueMicrotask(this.#catchUp)
  }

  get stream(): Stream {
    return this.#stream
  }

  /** Calls that are under way. */
  get size(): number {
    return this.#calls.size
  }

  /** False when a call needs another stream. */
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

  /** Begins no more calls, and takes none; the stream is closed when those that run have ended. */
  close(): void {
    this.#draining = true
    if (this.#calls.size === 0) {
      this.#waitForCalls()
    }
    this.#closeIfDone()
  }

  /** Ends all calls with this reason, and the stream. */
  abort(reason: Error): void {
    this.#end(reason)
    this.#stream.abort(reason)
  }

  send(frame: FrameInit): void {
    if (this.#closed) {
      return
    }
    this.#frames.push(frame)
    this.#frameBytes += frame.piece?.byteLength ?? 0
    if (this.#frames.length > MAX_WAITING_FRAMES) {
      this.abort(new ProtocolError('REMOTE_FAILED', 'the peer sends, but does not read what it is answered'))
      return
    }
    this.#flushSoon()
  }

  /** True while what is sent only waits: a message does better to wait where its writer does too. */
  get busy(): boolean {
    return this.#blocked || this.#frames.length >= MAX_FRAMES_AT_ONCE || this.#frameBytes >= MAX_FRAME_BYTES_AT_ONCE
  }

  sendInPieces(message: Outgoing): void {
    this.#queueOf(message).push(message)
    this.#flushSoon()
  }

  drop(message: Outgoing): void {
    const queue = this.#queueOf(message)
    const index = queue.indexOf(message)
    if (index >= 0) {
      queue.splice(index, 1)
    }
  }

  #queueOf({ bytes, length = bytes.byteLength }: Outgoing): Outgoing[] {
    return length <= PIECE_BYTES ? this.#small : this.#large
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

  /** For a while: then the stream is of no use, or, where the other side does not even take the last frames, broken. */
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

  /** After all that is done in this turn, so that what is sent in it goes as one. */
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
        const frames = this.#batch()
        if (frames.length === 0) {
          this.#closeIfDone()
          return
        }
        const bytes = encodeFrames(frames)
        sent += bytes.byteLength
        this.#rate.sent(bytes.byteLength, this.#large.length > 0)
        this.#blocked = !this.#stream.send(bytes)
      }
    } catch (error) {
      this.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #batch(): FrameInit[] {
    const batch: FrameInit[] = []
    let size = 0
    const add = (frame: FrameInit): void => {
      batch.push(frame)
      size += sizeOf(frame)
    }
    if (this.#unacknowledged >= ACKNOWLEDGE_EVERY_BYTES) {
      add({ read: this.#unacknowledged })
      this.#unacknowledged = 0
    }
    let taken = 0
    while (taken < this.#frames.length && size < BATCH_BYTES && taken < BATCH_FRAMES) {
      const frame = this.#frames[taken++] as FrameInit
      this.#frameBytes -= frame.piece?.byteLength ?? 0
      if (frame.piece != null && this.#large.length > 0) {
        this.#rate.hurry()
      }
      add(frame)
    }
    this.#frames = taken === this.#frames.length ? [] : this.#frames.slice(taken)
    if (this.#frames.length > 0) {
      // theirs are lower numbers than those of calls whose first pieces would leave now
      return batch
    }
    this.#addPieces(this.#small, add, () => size < BATCH_BYTES)
    this.#addPieces(this.#large, add, () => size < BATCH_BYTES && this.#rate.room > size)
    return batch
  }

  /** In turn; a message without room in its own window is passed over. */
  #addPieces(queue: Outgoing[], add: (frame: FrameInit) => void, hasRoom: () => boolean): void {
    let passedOver = 0
    while (passedOver < queue.length && hasRoom()) {
      const message = queue.shift() as Outgoing
      const piece = message.call.nextPiece(message)
      passedOver = piece == null ? passedOver + 1 : 0
      if (piece != null) {
        add(piece)
      }
      if (!message.left) {
        queue.push(message)
      }
    }
  }

  readonly #onRoom = (): void => {
    // 'drain' comes to all streams of a connection, also to one whose own reader took nothing
    if (this.#blocked && this.#stream.writeBufferLength === 0) {
      this.#blocked = false
      this.#flushSoon()
    }
  }

  /** With what happened to the stream before anybody heard of it. */
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
      this.abort(cause instanceof ProtocolError ? cause : new ProtocolError('REMOTE_FAILED', 'the peer sent what is no frame', { cause }))
      return
    }
    this.#unacknowledged += data.byteLength
    if (this.#unacknowledged >= ACKNOWLEDGE_EVERY_BYTES && !this.#acknowledging) {
      // once for all that is there to be read
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
    if (frame.call <= this.#lastCall) {
      // of a call that is over here: it was on its way
      return
    }
    if (this.#draining) {
      // the close on its way says that it was not taken
      return
    }
    const { answers } = this.#init
    if (answers == null) {
      throw new ProtocolError('REMOTE_FAILED', `the peer answers a call ${frame.call} that was not made`)
    }
    this.#lastCall = frame.call
    const call = this.#enter(frame.call, answers.bounds)
    // before anybody looks: most requests are whole then
    call.receive(frame)
    if (!call.over) {
      answers.onCall(call)
    }
  }

  #receiveOfStream({ read, end }: Frame): void {
    if (end && this.#init.answers == null) {
      this.#breakCalls((call) =>
        call.heard
          ? new Error('the peer gave the call up')
          : new NotTakenError('goodbye', 'the peer closed the stream before it took the call'),
      )
      this.close()
    }
    this.#rate.acknowledged(read)
    this.#flushSoon()
  }

  /** The other side sends no more: no further call, or, where it said no goodbye, no answer. */
  readonly #onRemoteClose = (): void => {
    if (this.#init.answers == null && (!this.#draining || this.#calls.size > 0)) {
      this.abort(new Error('the peer closed the stream'))
    } else {
      this.close()
    }
  }

  readonly #onClose = ({ error }: StreamCloseEvent): void => {
    this.#end(error ?? new Error('the stream is closed'))
  }

  #closeIfDone(): void {
    if (this.#draining && !this.#closed && this.#calls.size === 0 && this.#frames.length === 0) {
      this.#closed = true
      clearTimeout(this.#idle)
      this.#closeStream().catch((error) => this.#stream.abort(error))
      lingerUntilClosed(this.#stream, this.#init.stallTimeoutMs)
      this.#init.onClosed(undefined)
    }
  }

  async #closeStream(): Promise<void> {
    if (this.#init.answers != null) {
      this.#stream.send(encodeFrames([{ end: true }]))
    }
    await closeInTime(this.#stream, startDeadline(this.#init.stallTimeoutMs))
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
    this.#frames = []
    this.#small.length = 0
    this.#large.length = 0
    const failure = notTaken(this.#stream, reason, this.#heard) ?? lostUnconfirmed(this.#stream, reason) ?? reason
    this.#breakCalls(() => failure)
    this.#init.onClosed(reason)
  }
}
