/** Bytes that are used while they come. They can be taken once. */
export interface Body {
  /** In bytes; undefined where nobody knows it beforehand: the bytes come from a pipe. */
  readonly size?: number | undefined
  /** In any sizes. */
  readonly chunks: AsyncIterable<Uint8Array>
}

/** A message that is not held in memory: its head, then its body. On the wire it is like any other message. */
export interface MessageInParts {
  /** The encoded fields before the body. Empty where the body is all of the message. */
  readonly head: Uint8Array
  /**
   * The number of the protobuf field whose value is the body. Undefined where the body follows the head as it is.
   * A body without a size needs a field: on a kept stream its value goes in chunks.
   */
  readonly field?: number | undefined
  readonly body: Body
}

/** A message in parts that a peer sends. The carrier does not look for fields: of a message whose size is known, all is body. */
export interface IncomingMessage extends MessageInParts {
  /** Bytes that were taken of the message, with its head. */
  readonly takenBytes: number
  /** All of the message was taken. */
  readonly ended: boolean
  /**
   * The next bytes of the body; undefined at the end. The peer is held up while nobody asks. Several may ask at once: each gets other bytes.
   * @throws as `MessageStream.read`
   */
  next(): Promise<Uint8Array | undefined>
  /**
   * Takes a larger share of the byte budget, for a reader that keeps the message in memory: a share for all of the message, or for so many bytes.
   * @throws the signal's reason
   */
  hold(bytes?: number): Promise<void>
  /** Gives the share of the byte budget back, but for so many bytes. @param keepBytes 0 by default */
  release(keepBytes?: number): void
}
