import type { CallOptions, Destination, ProtocolHost } from '../../src/index.ts'
import { ProtocolBase } from '../../src/index.ts'

const bytes = { encode: (message: Uint8Array) => message, decode: (message: Uint8Array) => message }

/** Answers one request at a time, when it is told to; the others meet the limit. */
export class OneAtATime extends ProtocolBase<Uint8Array, Uint8Array> {
  static readonly id = '/test/one-at-a-time/1.0.0'
  readonly #asked = Promise.withResolvers<void>()
  readonly #mayAnswer = Promise.withResolvers<void>()

  constructor(host: ProtocolHost) {
    super(host, { id: OneAtATime.id, request: bytes, response: bytes, limits: { maxConcurrentRequests: 1 } })
  }

  async call(to: Destination, options?: CallOptions): Promise<Uint8Array> {
    return this.callRemote(to, new Uint8Array(10), options)
  }

  /** Resolves when a request is being answered. */
  get asked(): Promise<void> {
    return this.#asked.promise
  }

  answer(): void {
    this.#mayAnswer.resolve()
  }

  protected override async handleRequest(): Promise<Uint8Array> {
    this.#asked.resolve()
    await this.#mayAnswer.promise
    return new Uint8Array(20)
  }
}
