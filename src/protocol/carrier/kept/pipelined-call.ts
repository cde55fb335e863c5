import { UsageError } from '../../../primitives/errors.ts'
import type { Place } from '../../../primitives/roster.ts'
import { hintFor, LimitError, ProtocolError, streamBroke, tooLarge } from '../../api/errors.ts'
import { type PeerShare, type ProtocolLimits, STREAMED_WINDOW_BYTES } from '../../api/limits.ts'
import {
  type IncomingMessage,
  type Frame as Message,
  type MessageStream,
  NotTakenError,
  type OpenMessage,
  type OutgoingMessage,
  type ReadOptions,
  type WriteOptions,
} from '../../api/message-stream.ts'
import { acquireShare, beginIncoming, beginOpen, collect, nothingHeld, Pace } from '../../message/incoming.ts'
import { asTheyCome } from '../../message/open-message.ts'
import { segmentsOf } from '../../message/segments.ts'
import { type Frame, type FrameInit, Reset } from './pipelined-frame.ts'

/** Of messages, in one call and direction, that may be under way before the receiver has said that there is room. */
export const CALL_WINDOW_BYTES = 64 * 1024
/** A message travels in pieces of this size, the last one smaller. */
export const PIECE_BYTES = 16 * 1024
/** What a piece takes of the window at least, so that the number of messages under way is bounded too. */
const MIN_PIECE_COST_BYTES = 64

/** What protobuf allows. */
const MAX_FIELD_NUMBER = 2 ** 29 - 1

const SILENT = 'without sending anything'

/** Written at a time, of a message whose bytes come while it is sent. */
const SEGMENT_BYTES = 16 * PIECE_BYTES

/** A message, or a segment of one, that waits until its pieces can leave. */
export interface Outgoing {
  call: PipelinedCall
  bytes: Uint8Array
  sent: number
  /** Of the whole message, with its first segment. */
  length: number | undefined
  /** The field that follows, with the beginning of an open message. */
  open: number | undefined
  /** The message ends with this segment. */
  last: boolean
  /** Its last piece has gone. */
  left: boolean
  /** Runs out when no piece leaves for too long. */
  patience: NodeJS.Timeout | undefined
  /** Told when the last piece left, or none will any more. */
  onOver(): void
}

/** What a call may take. */
export interface CallBounds {
  limits: Pick<ProtocolLimits, 'maxFrameBytes' | 'maxStreamedBytes' | 'stallTimeoutMs' | 'minBytesPerSecond' | 'consumerTimeoutMs'>
  budget: Pick<PeerShare, 'acquire'>
}

/** What a call needs of the stream that it shares with others. */
export interface CallCarrier {
  /** True while small messages had better wait too. */
  readonly busy: boolean
  /** Leaves before all that waits in pieces. What is not encoded yet may still be changed. */
  send(frame: FrameInit): void
  sendInPieces(message: Outgoing): void
  drop(message: Outgoing): void
  /** Of a call that begins here: to be asked for when its first frame leaves, for the other side takes them only rising. */
  nextNumber(): number
  /** The call is over: what still comes for it is no longer of interest. */
  forget(call: PipelinedCall): void
}

/** The message that is being received. */
interface Incoming {
  /** Of an open message infinite, until its last piece is there. */
  length: number
  /** The field that is open; 0 of others. */
  open: number
  /** What came of it, and what of that somebody took. */
  received: number
  taken: number
  /** What came and was not taken: as much as there was room for. */
  pieces: Uint8Array[]
  /** Where all of it goes, once somebody waits for all of it. */
  whole: Uint8Array | undefined
  /** It is read as it comes. */
  begun: boolean
  pace: Pace
}

/** One call on a stream that carries many: its messages in pieces, each direction with a window of its own. */
export class PipelinedCall implements MessageStream {
  readonly duplex = true
  /** Among those that its carrier carries. */
  place: Place<PipelinedCall> = { item: this, index: -1 }
  #id: number | undefined
  /** True on the side that calls. */
  readonly #calls: boolean
  readonly #bounds: CallBounds
  readonly #carrier: CallCarrier
  readonly #incoming: Incoming[] = []
  #outgoing: Outgoing | undefined
  /** What the other side may still send, and what of that it was not told again after it was read. */
  #granted = CALL_WINDOW_BYTES
  #widened = false
  #owed = 0
  #sendWindow = CALL_WINDOW_BYTES
  #lastSent: FrameInit | undefined
  /** No further message may come. */
  #complete = false
  #remoteEnded = false
  /** The other side said something of this call, and that was a message. */
  #heard = false
  #answered = false
  /** This side has begun to send an open message. */
  #opened = false
  #over = false
  #failure: Error | undefined
  #wake: (() => void) | undefined
  /** Runs out when nothing comes for too long. */
  #patience: NodeJS.Timeout | undefined
  #onClosed: ((error: Error | undefined) => void) | undefined

  /** @param id on the side that answers: what the other side chose */
  constructor(id: number | undefined, bounds: CallBounds, carrier: CallCarrier) {
    this.#id = id
    this.#calls = id == null
    this.#bounds = bounds
    this.#carrier = carrier
  }

  /** Undefined until the other side is told of the call. */
  get id(): number | undefined {
    return this.#id
  }

  get over(): boolean {
    return this.#over
  }

  /** False while the other side may not have taken the call. */
  get heard(): boolean {
    return this.#heard
  }

  async read(options: ReadOptions = {}): Promise<Message> {
    const message = this.#ready(options) ?? (await this.readOrEnd(options))
    if (message == null) {
      throw new ProtocolError('REMOTE_FAILED', `the peer ended the call ${SILENT}`)
    }
    return message
  }

  async readOrEnd(options: ReadOptions = {}): Promise<Message | undefined> {
    const { signal, firstByteTimeoutMs, onFirstByte } = options
    while (this.#incoming[0] == null) {
      if (this.#remoteEnded && this.#failure == null) {
        return undefined
      }
      await this.#change(signal, firstByteTimeoutMs, () => SILENT)
    }
    const ready = this.#ready(options)
    if (ready != null) {
      return ready
    }
    onFirstByte?.()
    return this.#whole(this.#incoming[0], options)
  }

  /** A small message that is there, as most are. */
  #ready({ onFirstByte }: ReadOptions): Message | undefined {
    const [message] = this.#incoming
    const piece = message?.pieces[0]
    const { maxFrameBytes } = this.#bounds.limits
    if (message == null || piece == null || message.length !== piece.byteLength || message.length > maxFrameBytes || message.open > 0) {
      return undefined
    }
    onFirstByte?.()
    this.#incoming.shift()
    this.#took(piece)
    return { bytes: piece, release: nothingHeld }
  }

  async readMessage(options: ReadOptions = {}): Promise<IncomingMessage> {
    const { signal, firstByteTimeoutMs, onFirstByte } = options
    while (this.#incoming[0] == null) {
      await this.#change(signal, firstByteTimeoutMs, () => SILENT)
    }
    onFirstByte?.()
    const message = this.#incoming[0]
    if (message.open > 0) {
      return this.#openMessage(message, options, true)
    }
    const { length } = message
    this.#checkLength(length, this.#bounds.limits.maxStreamedBytes)
    message.begun = true
    const incoming = await beginIncoming({
      length,
      next: async () => this.#next(message, signal),
      acquire: async (bytes) => acquireShare(this.#bounds.budget, bytes, options),
    })
    if (length > CALL_WINDOW_BYTES) {
      this.#widen()
    }
    return incoming
  }

  #openMessage(message: Incoming, options: ReadOptions, patient: boolean): IncomingMessage {
    const { signal } = options
    const head = message.pieces.shift() ?? new Uint8Array(0)
    message.taken += head.byteLength
    message.begun = true
    this.#took(head)
    return beginOpen({
      open: { field: message.open, head },
      next: async () => this.#next(message, signal, patient),
      acquire: async (bytes) => acquireShare(this.#bounds.budget, bytes, options),
      onWide: () => this.#widen(),
    })
  }

  #widen(): void {
    if (!this.#widened) {
      this.#widened = true
      this.#grant(STREAMED_WINDOW_BYTES - CALL_WINDOW_BYTES)
    }
  }

  expectEnd(): void {
    this.#complete = true
    if (this.#incoming.some(({ begun }) => !begun)) {
      throw new ProtocolError('REMOTE_FAILED', 'the peer sent more than one message')
    }
  }

  async untilEnd(): Promise<void> {
    // it came with the answer
  }

  async write(bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
    const { length } = bytes
    if (length > this.#bounds.limits.maxFrameBytes) {
      throw tooLarge(length, this.#bounds.limits.maxFrameBytes, 'to send')
    }
    options.signal?.throwIfAborted()
    this.#throwIfOver()
    if (length <= PIECE_BYTES && costOf(length) <= this.#sendWindow && !this.#carrier.busy) {
      this.#lastSent = { call: this.#number(), piece: bytes, last: true }
      this.#sendWindow -= costOf(length)
      this.#carrier.send(this.#lastSent)
      return
    }
    await this.#writeInPieces(bytes, { length: bytes.byteLength, open: undefined, last: true }, options)
  }

  async writeMessage(message: OutgoingMessage, options: WriteOptions = {}): Promise<void> {
    if (message.open != null) {
      await this.#writeOpen(message, options)
      return
    }
    const { length } = message
    if (length > this.#bounds.limits.maxStreamedBytes) {
      throw tooLarge(length, this.#bounds.limits.maxStreamedBytes, 'to send')
    }
    let sent = 0
    for await (const segment of segmentsOf(message, SEGMENT_BYTES, options.signal)) {
      const part = { length: sent === 0 ? length : undefined, open: undefined, last: sent + segment.byteLength === length }
      sent += segment.byteLength
      await this.#writeInPieces(segment, part, options)
    }
    if (length === 0) {
      await this.write(new Uint8Array(0), options)
    }
  }

  async #writeOpen({ open: { field, head }, chunks }: OpenMessage, options: WriteOptions): Promise<void> {
    const { maxStreamedBytes } = this.#bounds.limits
    if (head.byteLength > PIECE_BYTES) {
      throw new UsageError(`the fields beside one whose size nobody knows have ${head.byteLength} bytes, more than ${PIECE_BYTES}`)
    }
    options.signal?.throwIfAborted()
    this.#opened = true
    await this.#writeInPieces(head, { length: undefined, open: field, last: false }, options)
    let sent = head.byteLength
    for await (const { bytes, last } of asTheyCome(chunks, SEGMENT_BYTES, options.signal)) {
      sent += bytes.byteLength
      if (sent > maxStreamedBytes) {
        throw tooLarge(sent, maxStreamedBytes, 'to send')
      }
      await this.#writeInPieces(bytes, { length: undefined, open: undefined, last }, options)
    }
  }

  finish(): void {
    // the frames of its message say so
  }

  async close(): Promise<void> {
    if (this.#over) {
      return
    }
    if (!this.#calls) {
      // most often with its answer, in one frame
      if (this.#lastSent != null && this.#lastSent.encoded !== true) {
        this.#lastSent.end = true
      } else {
        this.#carrier.send({ call: this.#number(), end: true })
      }
    }
    this.#end(undefined)
  }

  abort(reason: Error): void {
    if (this.#over) {
      return
    }
    if (this.#id != null) {
      this.#carrier.send({ call: this.#id, ...this.#resetFor(reason) })
    }
    this.#end(reason)
  }

  onClosed(listener: (error: Error | undefined) => void): void {
    this.#onClosed = listener
  }

  /** The stream is broken: nothing comes any more, and nothing can be sent. */
  break(reason: Error): void {
    if (!this.#over) {
      this.#end(reason)
    }
  }

  /** What came for this call. @throws ProtocolError for what no peer that keeps to the protocol sends */
  receive(frame: Frame): void {
    if (this.#over) {
      return
    }
    if (frame.window > 0) {
      this.#sendWindow = Math.min(Number.MAX_SAFE_INTEGER, this.#sendWindow + frame.window)
    }
    if (frame.reset !== Reset.UNSPECIFIED) {
      this.#end(this.#reasonOf(frame))
      return
    }
    this.#heard = true
    // a window wakes nobody: who waits for a message would wait for ever as long as windows come
    if (frame.last || frame.piece.byteLength > 0 || frame.open > 0) {
      this.#answered = true
      if (this.#receivePiece(frame)) {
        this.#wake?.()
      } else {
        this.#patience?.refresh()
      }
    }
    if (frame.end) {
      this.#receiveEnd()
    }
  }

  #receiveEnd(): void {
    if (!this.#calls) {
      throw violation('ended a call that it made itself')
    }
    this.#remoteEnded = true
    this.#carrier.forget(this)
    this.#outgoing?.onOver()
    this.#wake?.()
  }

  /** The next piece of its message, if its window has room for it. */
  nextPiece(message: Outgoing): FrameInit | undefined {
    const { bytes, sent, length, open } = message
    const piece = bytes.subarray(sent, sent + PIECE_BYTES)
    const cost = costOf(piece.byteLength)
    if (cost > this.#sendWindow) {
      return undefined
    }
    this.#sendWindow -= cost
    message.sent += piece.byteLength
    message.left = message.sent === bytes.byteLength
    const last = message.last && message.left
    if (message.left) {
      message.onOver()
    } else {
      message.patience?.refresh()
    }
    return { call: this.#number(), piece, last, length: sent > 0 || last ? 0 : (length ?? 0), open: sent > 0 ? 0 : (open ?? 0) }
  }

  #number(): number {
    this.#id ??= this.#carrier.nextNumber()
    return this.#id
  }

  /** @returns whether somebody should look at it: not at each piece of a message that is wanted whole */
  #receivePiece(frame: Frame): boolean {
    const { piece, length, last } = frame
    const size = piece.byteLength
    this.#granted -= costOf(size)
    if (this.#granted < 0) {
      throw violation('sent more than there was room for')
    }
    const begun = this.#unfinished()
    if (frame.open > 0 || (begun?.open ?? 0) > 0) {
      return this.#receiveOpen(begun, frame)
    }
    if (size > PIECE_BYTES || (!last && size < PIECE_BYTES)) {
      throw violation(`sent a piece of ${size} bytes, which is neither the last of its message nor ${PIECE_BYTES}`)
    }
    const message = begun ?? this.#begin(last ? size : length, 0)
    if (message.received + size > message.length || last !== (message.received + size === message.length)) {
      throw violation('sent a message of another length than it announced')
    }
    message.received += size
    if (message.whole == null) {
      // a small one as a copy: the piece is a view into all that came with it
      message.pieces.push(size < PIECE_BYTES ? piece.slice() : piece)
      return true
    }
    this.#takeIn(message, message.whole, piece)
    return last || message.pace.isSlow(message.received)
  }

  #receiveOpen(begun: Incoming | undefined, { piece, length, last, open }: Frame): boolean {
    if (open > 0 && (begun != null || length > 0 || open > MAX_FIELD_NUMBER)) {
      throw violation('opened what cannot be an open message')
    }
    if (piece.byteLength > PIECE_BYTES) {
      throw violation(`sent a piece of ${piece.byteLength} bytes, more than ${PIECE_BYTES}`)
    }
    const { maxStreamedBytes } = this.#bounds.limits
    const message = begun ?? this.#begin(Number.POSITIVE_INFINITY, open)
    message.received += piece.byteLength
    if (message.received > maxStreamedBytes) {
      this.abort(tooLarge(message.received, maxStreamedBytes, 'from the peer'))
      return false
    }
    if (last) {
      message.length = message.received
    }
    if (begun == null || piece.byteLength > 0) {
      message.pieces.push(piece.byteLength < PIECE_BYTES ? piece.slice() : piece)
    } else {
      this.#took(piece)
    }
    return true
  }

  #takeIn(message: Incoming, whole: Uint8Array, piece: Uint8Array): void {
    whole.set(piece, message.taken)
    message.taken += piece.byteLength
    this.#took(piece)
  }

  #unfinished(): Incoming | undefined {
    const message = this.#incoming.at(-1)
    return message == null || message.received === message.length ? undefined : message
  }

  #begin(length: number, open: number): Incoming {
    if (this.#complete) {
      throw violation('sent more than one message')
    }
    const message = { length, open, received: 0, taken: 0, pieces: [], whole: undefined, begun: false, pace: new Pace(this.#bounds.limits) }
    this.#incoming.push(message)
    return message
  }

  /** All of a message; from now on all of it may come. */
  async #whole(message: Incoming, options: ReadOptions): Promise<Message> {
    if (message.open > 0) {
      return this.#wholeOfOpen(message, options)
    }
    const { length } = message
    const { signal } = options
    this.#checkLength(length, this.#bounds.limits.maxFrameBytes)
    const release = await acquireShare(this.#bounds.budget, length, options)
    try {
      const bytes = Buffer.allocUnsafeSlow(length)
      if (message.received < length) {
        this.#grant(length)
        this.#owed -= length
      }
      for (const piece of message.pieces.splice(0)) {
        this.#takeIn(message, bytes, piece)
      }
      message.whole = bytes
      while (message.received < length) {
        await this.#more(message, signal)
      }
      this.#incoming.shift()
      // a plain view: Buffer methods (slice above all) differ from Uint8Array's
      return { bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, length), release }
    } catch (error) {
      release()
      throw error
    }
  }

  async #wholeOfOpen(message: Incoming, options: ReadOptions): Promise<Message> {
    const { maxFrameBytes } = this.#bounds.limits
    const incoming = this.#openMessage(message, options, options.patient === true)
    try {
      const bytes = await collect(incoming, new Uint8Array(0), maxFrameBytes)
      return { bytes, release: () => incoming.release() }
    } catch (error) {
      incoming.release()
      throw error
    }
  }

  /** The next bytes of a message; undefined at its end, where it makes room for the next message. */
  async #next(message: Incoming, signal: AbortSignal | undefined, patient = false): Promise<Uint8Array | undefined> {
    while (message.pieces.length === 0 && message.taken < message.length) {
      await (patient ? this.#patientlyMore(message, signal) : this.#more(message, signal))
    }
    const piece = message.pieces.shift()
    if (piece == null) {
      if (this.#incoming[0] === message) {
        this.#incoming.shift()
      }
      return undefined
    }
    message.taken += piece.byteLength
    this.#took(piece)
    return piece
  }

  /** Room for as much again, told when it is worth a frame. */
  #took(piece: Uint8Array): void {
    this.#owed += costOf(piece.byteLength)
    if (this.#owed >= CALL_WINDOW_BYTES / 2) {
      this.#grant(this.#owed)
      this.#owed = 0
    }
  }

  #checkLength(length: number, maxBytes: number): void {
    if (length > maxBytes) {
      throw tooLarge(length, maxBytes, 'announced by the peer')
    }
  }

  #grant(bytes: number): void {
    this.#granted += bytes
    if (!this.#remoteEnded && !this.#over) {
      this.#carrier.send({ call: this.#number(), window: bytes })
    }
  }

  /** Waits for more of a message. */
  async #more(message: Incoming, signal: AbortSignal | undefined): Promise<void> {
    const where = (): string => `after ${message.received}${message.open > 0 ? '' : ` of ${message.length}`} bytes of a message`
    await message.pace.wait(
      async () => this.#change(signal, this.#bounds.limits.stallTimeoutMs, where),
      () => message.received,
    )
  }

  /** Its source may be silent: at the caller the deadline of the call bounds that, and who answers is patient, not for ever. */
  async #patientlyMore(message: Incoming, signal: AbortSignal | undefined): Promise<void> {
    const silenceMs = this.#calls ? undefined : this.#bounds.limits.consumerTimeoutMs
    await this.#change(signal, silenceMs, () => `after ${message.received} bytes of a message`)
  }

  /** Waits until something may have changed: a piece, the end, a failure. */
  async #change(signal: AbortSignal | undefined, timeoutMs: number | undefined, where: () => string): Promise<void> {
    signal?.throwIfAborted()
    this.#throwIfBroken(where)
    if (this.#remoteEnded || this.#over) {
      throw new ProtocolError('REMOTE_FAILED', `the peer ended the call ${where()}`)
    }
    const change = Promise.withResolvers<void>()
    this.#wake = change.resolve
    if (signal == null && timeoutMs == null) {
      return change.promise
    }
    const onSilence = (): void => change.reject(new ProtocolError('TIMEOUT', `the peer went silent for ${timeoutMs} ms ${where()}`))
    this.#patience = timeoutMs == null ? undefined : setTimeout(onSilence, timeoutMs)
    await settled(change, signal, this.#patience)
  }

  async #writeInPieces(
    bytes: Uint8Array,
    part: Pick<Outgoing, 'length' | 'open' | 'last'>,
    { signal, stallTimeoutMs }: WriteOptions,
  ): Promise<void> {
    this.#throwIfOver()
    const over = Promise.withResolvers<void>()
    const onStall = (): void => over.reject(new ProtocolError('TIMEOUT', `the peer read too little for ${stallTimeoutMs} ms`))
    const patience = stallTimeoutMs == null ? undefined : setTimeout(onStall, stallTimeoutMs)
    const outgoing: Outgoing = { call: this, bytes, sent: 0, ...part, left: false, patience, onOver: over.resolve }
    this.#outgoing = outgoing
    this.#lastSent = undefined
    this.#carrier.sendInPieces(outgoing)
    try {
      await settled(over, signal, patience)
      if (!outgoing.left) {
        this.#throwIfOver()
      }
    } finally {
      this.#outgoing = undefined
      this.#carrier.drop(outgoing)
    }
  }

  #throwIfBroken(where = () => 'while it was written to'): void {
    if (this.#failure != null) {
      throw this.#failure instanceof ProtocolError || this.#failure instanceof NotTakenError
        ? this.#failure
        : streamBroke(this.#failure, where())
    }
  }

  #throwIfOver(): void {
    this.#throwIfBroken()
    if (this.#remoteEnded || this.#over) {
      throw new ProtocolError('REMOTE_FAILED', 'the call was ended before all was sent in it')
    }
  }

  /** Of a reset that came. */
  #reasonOf(frame: Frame): Error {
    if (!this.#calls) {
      return new Error('the caller wants no more answers')
    }
    // what was answered was acted on, an open request maybe on a part
    const refusal = this.#opened ? refusalOfOpen(frame) : this.#answered ? undefined : refusalOf(frame)
    return refusal ?? new ProtocolError('REMOTE_FAILED', 'the peer ended the call without an answer')
  }

  #resetFor(reason: Error): FrameInit {
    if (this.#calls) {
      return { reset: Reset.CANCELLED }
    }
    return reason instanceof LimitError
      ? { reset: reason.exceeded === 'requests' ? Reset.TOO_MANY : Reset.TOO_LARGE, length: reason.limit }
      : { reset: Reset.FAILED }
  }

  #end(reason: Error | undefined): void {
    this.#over = true
    this.#failure ??= reason
    this.#carrier.forget(this)
    if (this.#outgoing != null) {
      this.#carrier.drop(this.#outgoing)
      this.#outgoing.onOver()
    }
    this.#wake?.()
    this.#onClosed?.(reason)
  }
}

/** The request was not acted on, for a limit of the peer. */
function refusalOf({ reset, length }: Frame): ProtocolError | undefined {
  switch (reset) {
    case Reset.TOO_LARGE:
      return new ProtocolError('LIMIT_EXCEEDED', `the peer takes no frame of over ${length} bytes`, {
        phase: 'send',
        hint: hintFor(length, 'its --max-frame-bytes raises the limit'),
      })
    case Reset.TOO_MANY:
      return new ProtocolError('LIMIT_EXCEEDED', `the peer handles no more than ${length} requests at a time`, {
        phase: 'send',
        hint: 'ask again when some have ended, or fewer at a time (--concurrency)',
      })
    default:
      return undefined
  }
}

/** The same of an open request: as the limit was met later, a part may have been acted on. */
function refusalOfOpen(frame: Frame): ProtocolError | undefined {
  const refusal = refusalOf(frame)
  return refusal == null || frame.reset === Reset.TOO_MANY
    ? refusal
    : new ProtocolError(refusal.code, refusal.message, { hint: refusal.hint })
}

/** Waits for it, or for the signal; its timer is of no use then. @throws what it was rejected with; the signal's reason */
async function settled(
  { promise, reject }: PromiseWithResolvers<void>,
  signal: AbortSignal | undefined,
  timer: NodeJS.Timeout | undefined,
): Promise<void> {
  const onAbort = (): void => reject(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

function costOf(pieceBytes: number): number {
  return Math.max(MIN_PIECE_COST_BYTES, pieceBytes)
}

function violation(what: string): ProtocolError {
  return new ProtocolError('REMOTE_FAILED', `the peer ${what}`)
}
