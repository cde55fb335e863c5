import type { Cancellation } from '../../primitives/cancellation.ts'

/** A message that was received. */
export interface Frame {
  bytes: Uint8Array
  /** Gives the message's share of the byte budget back, once its bytes are no longer in use. */
  release(): void
}

export interface ReadOptions {
  signal?: AbortSignal | undefined
  /** Where there is no signal: what ends the wait for room for a large message when the stream does. */
  over?: Cancellation | undefined
  /** How long the message's first byte may take. Unlimited when absent: then the signal is the only bound. */
  firstByteTimeoutMs?: number | undefined
  /** Of an open message that is read whole: its source may be silent for long. @default false */
  patient?: boolean | undefined
  /** Called when the message's first byte is there. */
  onFirstByte?: (() => void) | undefined
}

export interface WriteOptions {
  signal?: AbortSignal | undefined
  /** How long the peer may take for each 64 KiB. Unlimited when absent: then the signal is the only bound. */
  stallTimeoutMs?: number | undefined
}

/** How a message begins whose length nobody knows yet: what follows are the bytes of its last field, until there are no more. */
export interface OpenBeginning {
  /** The number of that field. */
  field: number
  /** All other fields. */
  head: Uint8Array
}

/** A message whose bytes come while it is received. */
export interface IncomingMessage {
  /** Of all of it, in bytes; undefined of an open one. */
  readonly length: number | undefined
  /** Of an open message: `next` gives what follows. */
  readonly open?: OpenBeginning | undefined
  /** Bytes that were taken of it. */
  readonly takenBytes: number
  /** All of it was taken. */
  readonly ended: boolean
  /** The next bytes; undefined at the end. The peer is held up while nobody asks. Whoever asks meanwhile gets those behind them. @throws as `read` */
  next(): Promise<Uint8Array | undefined>
  /** Takes the share of the byte budget that all of it needs, or so many bytes: for whoever keeps it in memory. @throws the signal's reason */
  hold(bytes?: number): Promise<void>
  /** Gives its share of the byte budget back, but for so many bytes. @param keepBytes 0 by default */
  release(keepBytes?: number): void
}

/** A message whose bytes come while it is sent: exactly `length` of them, in chunks of any size. */
export interface SizedMessage {
  length: number
  open?: undefined
  chunks: AsyncIterable<Uint8Array>
}

/** A message whose length nobody knows yet. Where that has to come first, it goes when its chunks have ended. */
export interface OpenMessage {
  length?: undefined
  open: OpenBeginning
  /** The bytes of its last field, in chunks of any size. */
  chunks: AsyncIterable<Uint8Array>
}

/** A message whose bytes come while it is sent. */
export type OutgoingMessage = SizedMessage | OpenMessage

/** Why a call was not taken: the peer ended the kept stream, does not speak its protocol, reset it before it confirmed that, or takes no more at a time. */
export type NotTakenWhy = 'goodbye' | 'unsupported' | 'unconfirmed' | 'over limit'

/** The other side ended the stream before it took the call: nothing was acted on, another stream may do. */
export class NotTakenError extends Error {
  override readonly name = 'NotTakenError'
  readonly why: NotTakenWhy

  constructor(why: NotTakenWhy, message: string, options?: ErrorOptions) {
    super(message, options)
    this.why = why
  }
}

export interface CloseOptions {
  signal?: AbortSignal | undefined
  /** Where there is no signal: what ends the wait. */
  over?: Cancellation | undefined
  /** How long the muxer may take to close. */
  timeoutMs?: number | undefined
}

/** What carries one call: a libp2p stream of its own, or a place on one that many calls share. */
export interface CallStream {
  /** The other side reads the answer while it sends its request: others may read nothing before they have sent all. */
  readonly duplex: boolean
  /** The next message. @throws ProtocolError REMOTE_FAILED, LIMIT_EXCEEDED or TIMEOUT; NotTakenError; the signal's reason */
  read(options?: ReadOptions): Promise<Frame>
  /** The next message; undefined where the peer ended the call instead. @throws as `read` */
  readOrEnd(options?: ReadOptions): Promise<Frame | undefined>
  /** The next message as it comes: to be taken to its end before another is read. @throws as `read` */
  readMessage(options?: ReadOptions): Promise<IncomingMessage>
  /** No further message is expected: a peer that sends more breaks the call. */
  expectEnd(): void
  /** Waits a moment for the peer to say that nothing follows. @throws ProtocolError REMOTE_FAILED where another message came */
  untilEnd(): Promise<void>
  /** Writes one message; resolves when its last byte was taken. @throws ProtocolError; NotTakenError; the signal's reason */
  write(bytes: Uint8Array, options?: WriteOptions): Promise<void>
  /** The same for a message whose bytes come while it is sent. @throws as `write`; what its chunks throw */
  writeMessage(message: OutgoingMessage, options?: WriteOptions): Promise<void>
  /** This side writes no further message. Where others read to the end of a stream before they answer, they are told at once. */
  finish(): void
  /** This side writes no more. What the other side leaves open is cut off some seconds later. */
  close(options: CloseOptions): Promise<void>
  /** Ends the call at once. Does nothing for one that has ended. */
  abort(reason: Error): void
  /** Told once when the call is over for both sides, or broken. */
  onClosed(listener: (error: Error | undefined) => void): void
}
