import { setImmediate as turn } from 'node:timers/promises'
import { describeError, SubnetError } from '../../primitives/errors.ts'
import { type CallStream, type Frame, type IncomingMessage, NotTakenError } from '../api/call-stream.ts'
import { ProtocolError } from '../api/errors.ts'
import type { Codec } from '../message/codec.ts'
import { collect, discard } from '../message/incoming.ts'
import type { OutgoingCall } from './outgoing-call.ts'

/** What carries a call, and the place that it takes up among the calls to its peer. */
export interface Opened {
  stream: CallStream
  leave(): void
}

/** How answers are read. */
export interface AnswerCodec<Response> extends Pick<Codec<never, Response>, 'decode' | 'decodeStream' | 'patient'> {
  /** For an answer that is collected. */
  maxFrameBytes: number
}

/** A request that is sent while its answer is received. */
interface Sending {
  over: AbortController
  failure: unknown
  /** True once all of it is sent, false where that failed. */
  done: Promise<boolean>
}

/** One try of a call, on a stream of its own or a place on a kept one. First `begin`, then `finish` or `messages`; what each throws ends the try. */
export class Attempt<Response> {
  readonly #codec: AnswerCodec<Response>
  readonly #call: OutgoingCall
  readonly #stream: CallStream
  readonly #leave: () => void
  #sending: Sending | undefined
  #first: { message: Response } | undefined
  /** The answer, where it is used while it comes. */
  #incoming: IncomingMessage | undefined
  #over = false

  constructor(codec: AnswerCodec<Response>, call: OutgoingCall, { stream, leave }: Opened) {
    this.#codec = codec
    this.#call = call
    this.#stream = stream
    this.#leave = leave
    call.cancellation.onCancel = (reason) => stream.abort(reason)
  }

  /** Sends the request, and waits for the first answer. */
  async begin(): Promise<this> {
    try {
      const { cancellation, kind, options, progress } = this.#call
      cancellation.throwIfCancelled()
      if (kind === 'unary' && (options.inParts === true || !progress.isWhole)) {
        this.#sendMeanwhile()
      } else {
        await this.#send()
      }
      this.#first = await this.#readFirst()
      return this
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /** The one answer of a unary call, once it is sure that nothing comes behind it. */
  async finish(): Promise<Response> {
    try {
      await this.#close()
      this.#leaveOnce()
      return this.#first?.message as Response
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /** All answers as they come. Whoever leaves the loop over them gives the call up. */
  async *messages(): AsyncGenerator<Response> {
    let left = true
    try {
      for (let next = this.#first; next != null; next = await this.#readNext()) {
        yield next.message
      }
      await this.#close()
      left = false
    } catch (error) {
      left = false
      throw this.#fail(error)
    } finally {
      if (left) {
        this.#stream.abort(new Error('the caller wants no more answers'))
      }
      this.#leaveOnce()
    }
  }

  /** The answer may begin before its request has ended. */
  #sendMeanwhile(): void {
    const over = new AbortController()
    const onFailure = (error: unknown): boolean => {
      sending.failure = error
      this.#stream.abort(toError(error))
      return false
    }
    const sending: Sending = { over, failure: undefined, done: this.#send(over.signal).then(() => true, onFailure) }
    this.#sending = sending
  }

  async #send(over?: AbortSignal): Promise<void> {
    const { options, progress } = this.#call
    const { request } = progress
    await this.#call.step(async (within) => {
      if (request instanceof Uint8Array) {
        // where only the end of the call ends it, that of the stream does
        await this.#stream.write(request, options.idleTimeoutMs == null ? undefined : { signal: within.signal })
      } else {
        await this.#stream.writeMessage(request, { signal: over == null ? within.signal : AbortSignal.any([within.signal, over]) })
      }
    })
    this.#stream.finish()
    progress.enter('wait')
  }

  async #readFirst(): Promise<{ message: Response } | undefined> {
    const { cancellation, kind, options } = this.#call
    if (kind === 'server-streaming') {
      return this.#readNext()
    }
    const reading = { over: cancellation, onFirstByte: this.#onFirstByte }
    if (options.inParts === true) {
      return { message: await this.#decodeInParts(await this.#stream.readMessage({ ...reading, signal: cancellation.signal })) }
    }
    const frame = await this.#stream.read({ ...reading, patient: this.#codec.patient })
    this.#stream.expectEnd()
    return { message: this.#decode(frame) }
  }

  /** Undefined where there are no more. */
  async #readNext(): Promise<{ message: Response } | undefined> {
    if (this.#incoming != null) {
      this.#call.throwIfRestFailed()
      await discard(this.#incoming)
      this.#release(this.#incoming)
      return undefined
    }
    const { cancellation, options } = this.#call
    const frame = await this.#stream.readOrEnd({
      over: cancellation,
      firstByteTimeoutMs: options.idleTimeoutMs,
      onFirstByte: this.#onFirstByte,
    })
    return frame == null ? undefined : { message: this.#decode(frame) }
  }

  #decode(frame: Frame): Response {
    this.#call.progress.bytesReceived += frame.bytes.byteLength
    try {
      return this.#codec.decode(frame.bytes)
    } catch (cause) {
      throw undecodable(cause)
    } finally {
      frame.release()
    }
  }

  async #decodeInParts(incoming: IncomingMessage): Promise<Response> {
    const { decode, decodeStream, maxFrameBytes } = this.#codec
    this.#incoming = incoming
    this.#stream.expectEnd()
    this.#call.progress.bytesReceived = incoming.length ?? incoming.takenBytes
    const all = async (taken: Uint8Array): Promise<Uint8Array> => collect(incoming, taken, maxFrameBytes)
    try {
      return decodeStream == null ? decode(await all(new Uint8Array(0))) : await decodeStream(incoming, all)
    } catch (cause) {
      throw cause instanceof SubnetError ? cause : undecodable(cause)
    }
  }

  /** Closes the stream behind the last answer. */
  async #close(): Promise<void> {
    if (this.#sending != null && !(await Promise.race([this.#sending.done, turn(false)]))) {
      this.#stream.abort(new Error('the answer has ended before its request'))
      return
    }
    if (this.#call.kind === 'unary') {
      await this.#stream.untilEnd()
    }
    await this.#stream.close({ over: this.#call.cancellation })
  }

  /** @returns what the call fails with */
  #fail(error: unknown): unknown {
    const cause = this.#sending?.failure ?? error
    this.#stream.abort(toError(cause))
    this.#leaveOnce()
    return this.#call.cancellation.cancelled || isKnown(cause, this.#call) ? cause : remoteFailed(describeError(cause), cause)
  }

  #leaveOnce(): void {
    if (this.#over) {
      return
    }
    this.#over = true
    this.#sending?.over.abort(new Error('the call is over'))
    if (this.#incoming != null) {
      this.#release(this.#incoming)
    }
    this.#call.cancellation.onCancel = undefined
    this.#leave()
  }

  #release(incoming: IncomingMessage): void {
    this.#call.progress.bytesReceived = incoming.length ?? incoming.takenBytes
    incoming.release()
  }

  readonly #onFirstByte = (): void => this.#call.progress.enter('receive')
}

/** Callers get it as it is. */
function isKnown(error: unknown, { progress }: OutgoingCall): boolean {
  return error instanceof SubnetError || error instanceof NotTakenError || error === progress.sourceFailure
}

function undecodable(cause: unknown): ProtocolError {
  return remoteFailed(`the answer cannot be decoded: ${describeError(cause)}`, cause)
}

function remoteFailed(message: string, cause: unknown): ProtocolError {
  return new ProtocolError('REMOTE_FAILED', message, { cause })
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
