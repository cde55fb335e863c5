import type { Limit } from '@libp2p/circuit-relay-v2'
import type { Stream } from '@libp2p/interface'
import { withMethods } from '../adapters/guarded-components.ts'

/** The used fields of a hop protocol message. Type and status are strings. */
export interface HopMessage {
  type?: string | undefined
  status?: string | undefined
  limit?: Limit | undefined
  peer?: { id: Uint8Array } | undefined
}

interface Messages {
  write(message: HopMessage, options?: object): Promise<void>
}

/** A message stream of the library. */
export interface MessagesStream {
  pb(codec: unknown): Messages
  unwrap(): Stream
}

/** Wraps a message stream and records the answer sent on it. */
export class Answer {
  /** Answers by the options object that the library passes along while it handles a request. */
  static readonly #current = new WeakMap<object, Answer>()
  /** Status of the latest answer. */
  status: string | undefined
  /** Status to send instead of the library's. */
  instead: string | undefined
  /** The second stream of the circuit, if the called peer accepts it. */
  called: Stream | undefined
  readonly stream: MessagesStream

  constructor(inner: MessagesStream, options: object) {
    Answer.#current.set(options, this)
    this.stream = withMethods(inner, {
      // circuits are joined here, so the library gets a dummy stream
      unwrap: (unwrap) => () => (this.called == null ? unwrap() : NO_STREAM),
      pb: (pb) => (codec) => {
        const messages = pb(codec) as Messages
        return withMethods(messages, {
          write: (write) => async (message, options) => {
            const said = this.instead == null ? (message as HopMessage) : { ...(message as HopMessage), status: this.instead }
            this.status = said.status
            return write(inSeconds(said), options)
          },
        })
      },
    })
  }

  static with(options: object): Answer | undefined {
    return Answer.#current.get(options)
  }
}

/** An empty duplex stream, for the library to join. */
export const NO_STREAM = {
  source: [],
  sink: async () => undefined,
  addEventListener: () => undefined,
  abort: () => undefined,
} as unknown as Stream

/** Converts the time limit of a message to seconds, as the protocol requires. */
export function inSeconds<T extends HopMessage>(message: T): T {
  const { limit } = message
  return limit?.duration == null ? message : { ...message, limit: { ...limit, duration: Math.ceil(limit.duration / 1_000) } }
}
