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
