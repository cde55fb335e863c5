import type { Cancellation } from '../../primitives/cancellation.ts'
import type { IncomingMessage, MessageInParts } from './message-in-parts.ts'

/** A complete received message. */
export interface WholeMessage {
  bytes: Uint8Array
  /** Releases the message's part of the byte budget. Call once its bytes are no longer in use. */
  release(): void
}

export interface ReadOptions {
  signal?: AbortSignal | undefined
  /** Alternative to `signal`: ends the wait for the byte budget of a large message when the stream ends. */
  over?: Cancellation | undefined
  /** Time limit for the message's first byte. Without it, only the signal ends the wait. */
  firstByteTimeoutMs?: number | undefined
  /** Called when the message's first byte arrives. */
  onFirstByte?: (() => void) | undefined
}

export interface WriteOptions {
  signal?: AbortSignal | undefined
  /** Time limit for each 64 KiB. Without it, only the signal ends the wait. */
  stallTimeoutMs?: number | undefined
}

export interface CloseOptions {
  signal?: AbortSignal | undefined
  /** Alternative to `signal`: ends the wait. */
  over?: Cancellation | undefined
  /** Time limit for the muxer's close. */
  timeoutMs?: number | undefined
}

/** Carries the messages of one call, on its own libp2p stream or on a kept stream shared by many calls. */
export interface MessageStream {
  /** True if the peer reads the response while it still sends its request. Other peers may read nothing before their request is sent. */
  readonly duplex: boolean
  /** Reads the next message. @throws ProtocolError REMOTE_FAILED, LIMIT_EXCEEDED or TIMEOUT; NotTakenError; the signal's reason */
  read(options?: ReadOptions): Promise<WholeMessage>
  /** Reads the next message. Undefined if the peer ended the call instead. @throws as `read` */
  readOrEnd(options?: ReadOptions): Promise<WholeMessage | undefined>
  /** Streams the next message. Consume it completely before reading another. @throws as `read` */
  readMessage(options?: ReadOptions): Promise<IncomingMessage>
  /** Declares that no further message is expected. A further one breaks the call. */
  expectEnd(): void
  /** Waits briefly for the peer's end of the call. @throws ProtocolError REMOTE_FAILED if another message arrives */
  untilEnd(): Promise<void>
  /** Writes one message. Resolves when its last byte is accepted. @throws ProtocolError; NotTakenError; the signal's reason */
  write(bytes: Uint8Array, options?: WriteOptions): Promise<void>
  /** Writes one streamed message. @throws as `write`; errors of its chunks */
  writeMessage(message: MessageInParts, options?: WriteOptions): Promise<void>
  /** Declares that this side writes no further message. Peers that read to the end of the stream before answering are notified at once. */
  finish(): void
  /** Closes this side. If the remote side stays open, it is cut off some seconds later. */
  close(options: CloseOptions): Promise<void>
  /** Aborts the call at once. Does nothing after its end. */
  abort(reason: Error): void
  /** Called once when the call has ended on both sides or is broken. */
  onClosed(listener: (error: Error | undefined) => void): void
}
