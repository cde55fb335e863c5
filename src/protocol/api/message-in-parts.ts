/** A body that is streamed. It can be consumed once. */
export interface Body {
  /** Size in bytes. Undefined if not known in advance, for example for a pipe. */
  readonly size?: number | undefined
  /** Chunks of any size. */
  readonly chunks: AsyncIterable<Uint8Array>
}

/** A message that is streamed instead of held in memory: its head, then its body. On the wire it does not differ from other messages. */
export interface MessageInParts {
  /** The encoded fields before the body. Empty if the body is the whole message. */
  readonly head: Uint8Array
  /**
   * Number of the protobuf field that contains the body. Undefined if the body follows the head directly. A body without a size needs a
   * field, because a kept stream sends its value in chunks.
   */
  readonly field?: number | undefined
  readonly body: Body
}

/** A streamed message from a peer. The carrier does not parse fields: in a message of known size, everything is body. */
export interface IncomingMessage extends MessageInParts {
  /** Bytes consumed so far, including the head. */
  readonly takenBytes: number
  /** True once the whole message is consumed. */
  readonly ended: boolean
  /**
   * The next bytes of the body. Undefined at the end. The peer is held back until the next call. Concurrent calls get different bytes.
   * @throws as `MessageStream.read`
   */
  next(): Promise<Uint8Array | undefined>
  /**
   * Reserves more of the byte budget, for a reader that keeps the message in memory: for the whole message, or for `bytes`.
   * @throws the signal's reason
   */
  hold(bytes?: number): Promise<void>
  /** Releases the reserved budget down to `keepBytes`. @param keepBytes 0 by default */
  release(keepBytes?: number): void
}
