import { setImmediate as turn } from 'node:timers/promises'
import { describeError, SubnetError } from '../../primitives/errors.ts'
import { ProtocolError } from '../api/errors.ts'
import type { IncomingMessage } from '../api/message-in-parts.ts'
import type { MessageStream, WholeMessage } from '../api/message-stream.ts'
import { NotTakenError } from '../api/not-taken-error.ts'
import type { Codec } from '../message/codec.ts'
import { collect, discard } from '../message/collect.ts'
import type { OutgoingCall } from './outgoing-call.ts'

/** Decodes responses. */
export interface AnswerCodec<Response> extends Pick<Codec<never, Response>, 'decode' | 'decodeStream'> {
  /** Maximum size of a response that is collected in memory. */
  maxFrameBytes: number
}

/** A request that is sent while its response is received. */
interface Sending {
  over: AbortController
  failure: unknown
  /** True once the whole request is sent, false if sending failed. */
  done: Promise<boolean>
}

/**
 * One attempt of a call, on its own stream or a slot of a kept one. Call `begin`, then `finish` or `messages`. An error from any of them
 * ends the attempt.
 */
export class Attempt<Response> {
  readonly #codec: AnswerCodec<Response>
  readonly #call: OutgoingCall
  readonly #stream: MessageStream
  readonly #leave: () => void
  #sending: Sending | undefined
  #first: { message: Response } | undefined
  /** The response, if it is streamed. */
  #incoming: IncomingMessage | undefined
  #over = false

  /** @param leave releases the call's slot among the calls to its peer */
  constructor(codec: AnswerCodec<Response>, call: OutgoingCall, stream: MessageStream, leave: () => void) {
    this.#codec = codec
    this.#call = call
    this.#stream = stream
    this.#leave = leave
    call.cancellation.onCancel = (reason) => stream.abort(reason)
  }

  /** Sends the request and waits for the first response. */
  async begin(): Promise<void> {
    try {
      const { cancellation, kind, options, progress } = this.#call
      cancellation.throwIfCancelled()
      if (kind === 'unary' && (options.inParts === true || !progress.isWhole)) {
        this.#sendMeanwhile()
      } else {
        await this.#write()
        this.#onSent()
      }
      this.#first = await this.#readFirst()
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /** Closes the stream after the last response. @returns the response of a unary call, after ensuring that nothing follows */
  async finish(): Promise<Response> {
    try {
      if (this.#sending == null || (await Promise.race([this.#sending.done, turn(false)]))) {
        if (this.#call.kind === 'unary') {
          await this.#stream.untilEnd()
        }
        await this.#stream.close({ over: this.#call.cancellation })
      } else {
        this.#stream.abort(new Error('the answer has ended before its request'))
      }
      this.#leaveOnce()
      return this.#first?.message as Response
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /** Yields all responses as they arrive. Leaving the loop early aborts the call. */
  async *messages(): AsyncGenerator<Response> {
    let left = true
    try {
      for (let next = this.#first; next != null; next = await this.#readNext()) {
        yield next.message
      }
      await this.finish()
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

  /** Sends the request in the background, because the response may begin before its end. */
  #sendMeanwhile(): void {
    const over = new AbortController()
    const onFailure = (error: unknown): boolean => {
      sending.failure = error
      this.#stream.abort(toError(error))
      return false
    }
    const sent = this.#write(over.signal).then(() => this.#onSent())
    const sending: Sending = { over, failure: undefined, done: sent.then(() => true, onFailure) }
    this.#sending = sending
  }

  #write(over?: AbortSignal): Promise<void> {
    const { options, progress } = this.#call
    const { request } = progress
    return this.#call.step((within) => {
      if (request instanceof Uint8Array) {
        // without an idle timeout the call's deadline breaks the stream, so no signal is needed
        return this.#stream.write(request, options.idleTimeoutMs == null ? undefined : { signal: within.signal })
      }
      return this.#stream.writeMessage(request, { signal: over == null ? within.signal : AbortSignal.any([within.signal, over]) })
    })
  }

  #onSent(): void {
    this.#stream.finish()
    this.#call.progress.enter('wait')
  }

  #readFirst(): Promise<{ message: Response } | undefined> {
    const { kind, options } = this.#call
    if (kind === 'server-streaming') {
      return this.#readNext()
    }
    return options.inParts === true ? this.#readInParts() : this.#readWhole()
  }

  async #readWhole(): Promise<{ message: Response }> {
    const frame = await this.#stream.read({
      over: this.#call.cancellation,
      onFirstByte: this.#onFirstByte,
    })
    this.#stream.expectEnd()
    return { message: this.#decode(frame) }
  }

  async #readInParts(): Promise<{ message: Response }> {
    const { decode, decodeStream, maxFrameBytes } = this.#codec
    const incoming = await this.#stream.readMessage({ signal: this.#call.signal, onFirstByte: this.#onFirstByte })
    this.#incoming = incoming
    this.#stream.expectEnd()
    this.#call.progress.bytesReceived = incoming.body.size ?? incoming.takenBytes
    const all = async (taken: Uint8Array): Promise<Uint8Array> => collect(incoming, taken, maxFrameBytes)
    try {
      return { message: decodeStream == null ? decode(await all(new Uint8Array(0))) : await decodeStream(incoming, all) }
    } catch (cause) {
      throw cause instanceof SubnetError ? cause : undecodable(cause)
    }
  }

  /** Undefined if there are no more. */
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

  #decode(frame: WholeMessage): Response {
    this.#call.progress.bytesReceived += frame.bytes.byteLength
    try {
      return this.#codec.decode(frame.bytes)
    } catch (cause) {
      throw undecodable(cause)
    } finally {
      frame.release()
    }
  }

  /** @returns the error of the call */
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
    this.#call.progress.bytesReceived = incoming.body.size ?? incoming.takenBytes
    incoming.release()
  }

  readonly #onFirstByte = (): void => this.#call.progress.enter('receive')
}

/** True for errors that callers get unchanged. */
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
