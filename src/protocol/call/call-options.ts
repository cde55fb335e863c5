import type { Reached } from '../api/reach.ts'

/** What a call was, once it has ended. */
export interface CallReport {
  /** Set once a connection was there. */
  reached?: Reached
  /** Bytes of the messages, without framing. */
  bytesSent: number
  bytesReceived: number
  /** How often the call was made again: before, the peer had not taken it. */
  retries: number
  /** Milliseconds: until an address was found, until connected, from then to the last answer, and in all. */
  timings: { resolveMs: number; dialMs: number; requestMs: number; totalMs: number }
  /** What the call threw; absent where it was answered, or left by its caller. */
  error?: unknown
}

/** How a call may end before its answer. */
export interface CallOptions {
  signal?: AbortSignal | undefined
  /** The deadline of the whole call, resolving and dialling included. @default 60_000; none for a call with many answers */
  timeoutMs?: number | undefined
  /** Use only a connection that is open already: nothing is resolved or dialled. @default false */
  connectedOnly?: boolean | undefined
  /** Called when a connection is there, before the request is sent on it. */
  onReached?: ((reached: Reached) => void) | undefined
  /** Called once when the call ends, with an answer or without. */
  onReport?: ((report: CallReport) => void) | undefined
}

/** The same for a call with many answers. */
export interface StreamCallOptions extends CallOptions {
  /** How long the first answer may take, resolving and dialling included, and then each next one, in milliseconds. @default 60_000 */
  idleTimeoutMs?: number | undefined
}

/** A call whose answer has begun. One of the three has to be called; when its signal aborts, what the call holds is given back either way. */
export interface BegunCall<Answer> {
  answer: Answer
  /** Waits until what is left of the call is over. @throws as the call */
  end(): Promise<void>
  /** Gives up what is left of it. */
  leave(): Promise<void>
  /** The same for a reason that came up in what is left of it. @throws that, as the call says it */
  fail(cause: unknown): Promise<never>
}
