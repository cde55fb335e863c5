import type { Limit } from '@libp2p/circuit-relay-v2'
import type { Stream } from '@libp2p/interface'
import { withMethods } from '../adapters/guarded-components.ts'

/** A message of the hop protocol, as far as it is looked at here. Its types and states are texts. */
export interface HopMessage {
  type?: string | undefined
  status?: string | undefined
  limit?: Limit | undefined
  peer?: { id: Uint8Array } | undefined
}

interface Messages {
  write(message: HopMessage, options?: object): Promise<void>
}

/** A stream of the library's, for messages. */
export interface MessagesStream {
  pb(codec: unknown): Messages
  unwrap(): Stream
}

/** A stream for messages that notes what is answered on it. */
export class Answer {
  /** By the options that the library hands on while it handles a request. */
  static readonly #current = new WeakMap<object, Answer>()
  /** What was answered last. */
  status: string | undefined
  /** Answered in place of what the library says. */
  instead: string | undefined
  /** The other stream of the circuit, where the peer that is called takes it. */
  called: Stream | undefined
  readonly stream: MessagesStream

  constructor(inner: MessagesStream, options: object) {
    Answer.#current.set(options, this)
    this.stream = withMethods(inner, {
      // the streams of a circuit are joined here: the library gets one on which nothing happens
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

/** A duplex stream without bytes, for the library to join with another. */
export const NO_STREAM = {
  source: [],
  sink: async () => undefined,
  addEventListener: () => undefined,
  abort: () => undefined,
} as unknown as Stream

/** The same message with the limit of time as the protocol has it. */
export function inSeconds<T extends HopMessage>(message: T): T {
  const { limit } = message
  return limit?.duration == null ? message : { ...message, limit: { ...limit, duration: Math.ceil(limit.duration / 1_000) } }
}
