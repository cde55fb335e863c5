/**
 * Why the peer did not take a call: it ended the kept stream, does not support the protocol, reset the stream before confirming the
 * protocol, or is at its limit.
 */
export type NotTakenWhy = 'goodbye' | 'unsupported' | 'unconfirmed' | 'over limit'

/** The peer ended the stream before it took the call. Nothing was acted on, and another stream may succeed. */
export class NotTakenError extends Error {
  override readonly name = 'NotTakenError'
  readonly why: NotTakenWhy

  constructor(why: NotTakenWhy, message: string, options?: ErrorOptions) {
    super(message, options)
    this.why = why
  }
}
