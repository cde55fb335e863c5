import type { Cancellation } from '../../primitives/cancellation.ts'
import type { IncomingMessage, MessageInParts } from './message-in-parts.ts'

/** All of a message that was received. */
export interface WholeMessage {
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
  /** Called when the message's first byte is there. */
  onFirstByte?: (() => void) | undefined
}

export interface WriteOptions {
  signal?: AbortSignal | undefined
  /** How long the peer may take for each 64 KiB. Unlimited when absent: then the signal is the only bound. */
  stallTimeoutMs?: number | undefined
}

export interface CloseOptions {
  signal?: AbortSignal | undefined
  /** Where there is no signal: what ends the wait. */
  over?: Cancellation | undefined
  /** How long the muxer may take to close. */
  timeoutMs?: number | undefined
}

/** Carries the messages of one call: on a libp2p stream of its own, or on a kept stream that many calls share. */
export interface MessageStream {
  /** The other side reads the answer while it sends its request: others may read nothing before they have sent all. */
  readonly duplex: boolean
  /** The next message. @throws ProtocolError REMOTE_FAILED, LIMIT_EXCEEDED or TIMEOUT; NotTakenError; the signal's reason */
  read(options?: ReadOptions): Promise<WholeMessage>
  /** The next message; undefined where the peer ended the call instead. @throws as `read` */
  readOrEnd(options?: ReadOptions): Promise<WholeMessage | undefined>
  /** The next message while it comes: to be taken to its end before another is read. @throws as `read` */
  readMessage(options?: ReadOptions): Promise<IncomingMessage>
  /** No further message is expected: a peer that sends more breaks the call. */
  expectEnd(): void
  /** Waits a moment for the peer to say that nothing follows. @throws ProtocolError REMOTE_FAILED where another message came */
  untilEnd(): Promise<void>
  /** Writes one message; resolves when its last byte was taken. @throws ProtocolError; NotTakenError; the signal's reason */
  write(bytes: Uint8Array, options?: WriteOptions): Promise<void>
  /** The same for a message whose bytes come while it is sent. @throws as `write`; what its chunks throw */
  writeMessage(message: MessageInParts, options?: WriteOptions): Promise<void>
  /** This side writes no further message. Where others read to the end of a stream before they answer, they are told at once. */
  finish(): void
  /** This side writes no more. What the other side leaves open is cut off some seconds later. */
  close(options: CloseOptions): Promise<void>
  /** Ends the call at once. Does nothing for one that has ended. */
  abort(reason: Error): void
  /** Told once when the call is over for both sides, or broken. */
  onClosed(listener: (error: Error | undefined) => void): void
}
