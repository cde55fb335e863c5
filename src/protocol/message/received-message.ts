import { type Release, STREAMED_WINDOW_BYTES } from '../api/limits.ts'
import type { Body, IncomingMessage } from '../api/message-in-parts.ts'
import { nothingHeld, SMALL_MESSAGE_BYTES } from './byte-share.ts'

/** The source of a received message. */
export interface ReceivedMessageInit {
  /** The encoded fields before a body without a size, and the field number of that body. */
  head?: Uint8Array | undefined
  field?: number | undefined
  /** Size of the body in bytes. Undefined if the peer did not state it. */
  size: number | undefined
  /** The next bytes of the body. Undefined at its end. Called sequentially. */
  next(): Promise<Uint8Array | undefined>
  /** Reserves a share of the byte budget. Returns a function that releases it once. */
  acquire(bytes: number): Promise<Release>
  /** Called once a body without a size holds as large a share as a sized body. */
  onShare?(): void
}

/**
 * A streamed message with its share of the byte budget. A body of known size reserves its share at the beginning, at most 1 MiB. A body
 * without a size may pause for long, so it reserves nothing at first. Beyond 64 KiB it gets a share as soon as the budget allows.
 */
export class ReceivedMessage implements IncomingMessage {
  readonly head: Uint8Array
  readonly field: number | undefined
  readonly body: Body
  takenBytes: number
  ended: boolean
  readonly #init: ReceivedMessageInit
  #giveBack: Release = nothingHeld
  #heldBytes = SMALL_MESSAGE_BYTES
  #released = false
  readonly #taking = new Turns()
  readonly #holding = new Turns()

  /** @throws errors of `acquire` */
  static async begin(init: ReceivedMessageInit): Promise<ReceivedMessage> {
    const message = new ReceivedMessage(init)
    if (init.size != null) {
      message.#heldBytes = Math.min(init.size, STREAMED_WINDOW_BYTES)
      message.#giveBack = await init.acquire(message.#heldBytes)
    }
    return message
  }

  private constructor(init: ReceivedMessageInit) {
    const { head = new Uint8Array(0), field, size } = init
    this.#init = init
    this.head = head
    this.field = field
    this.takenBytes = head.byteLength
    this.ended = size === 0
    this.body = { size, chunks: this.#chunks() }
  }

  async next(): Promise<Uint8Array | undefined> {
    return this.#taking.run(async () => this.#take())
  }

  async hold(bytes = this.#init.size ?? STREAMED_WINDOW_BYTES): Promise<void> {
    return this.#holding.run(async () => this.#hold(bytes))
  }

  release(keepBytes = 0): void {
    this.#released ||= keepBytes === 0
    this.#giveBack(keepBytes)
  }

  async *#chunks(): AsyncGenerator<Uint8Array> {
    for (let bytes = await this.next(); bytes != null; bytes = await this.next()) {
      yield bytes
    }
  }

  async #take(): Promise<Uint8Array | undefined> {
    const { next, size } = this.#init
    const bytes = await next()
    const wasSmall = this.takenBytes <= SMALL_MESSAGE_BYTES
    this.takenBytes += bytes?.byteLength ?? 0
    this.ended ||= size == null ? bytes == null : this.takenBytes - this.head.byteLength === size
    if (size == null && wasSmall && this.takenBytes > SMALL_MESSAGE_BYTES) {
      void this.hold().catch(() => undefined)
    }
    return bytes
  }

  async #hold(bytes: number): Promise<void> {
    if (bytes <= this.#heldBytes || this.#released) {
      return
    }
    // released first: messages that hold a part and wait for more would block each other
    this.#giveBack()
    this.#giveBack = await this.#init.acquire(bytes)
    if (this.#heldBytes < STREAMED_WINDOW_BYTES) {
      this.#init.onShare?.()
    }
    this.#heldBytes = bytes
    if (this.#released) {
      this.#giveBack()
    }
  }
}

/** Runs tasks one after the other. */
class Turns {
  #last: Promise<unknown> = Promise.resolve()

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#last.then(work, work)
    this.#last = done
    return done
  }
}
