import type { Reached } from '../api/reach.ts'

/** Statistics of a call that has ended. */
export interface CallReport {
  /** Set once a connection was established. */
  reached?: Reached
  /** Message bytes, without framing. */
  bytesSent: number
  bytesReceived: number
  /** Number of retries, each after the peer had not taken the call. */
  retries: number
  /** Durations in milliseconds: resolving, dialling, from the connection to the last response, and in total. */
  timings: { resolveMs: number; dialMs: number; requestMs: number; totalMs: number }
  /** The error thrown by the call. Absent if it was answered or left by its caller. */
  error?: unknown
}

/** Options of a call. */
export interface CallOptions {
  signal?: AbortSignal | undefined
  /** Deadline of the whole call, including resolving and dialling. @default 60_000; none for a call with many responses */
  timeoutMs?: number | undefined
  /** Use only an open connection, without resolving or dialling. @default false */
  connectedOnly?: boolean | undefined
  /** Called when a connection is established, before the request is sent. */
  onReached?: ((reached: Reached) => void) | undefined
  /** Called once when the call ends, with or without a response. */
  onReport?: ((report: CallReport) => void) | undefined
}

/** Options of a call with many responses. */
export interface StreamCallOptions extends CallOptions {
  /** Time limit for the first response, including resolving and dialling, and for each next one, in milliseconds. @default 60_000 */
  idleTimeoutMs?: number | undefined
}

/** A call whose response has begun. Call one of the three methods. If the call's signal aborts, its resources are released in any case. */
export interface BegunCall<Answer> {
  answer: Answer
  /** Waits for the end of the call. @throws as the call */
  end(): Promise<void>
  /** Aborts the rest of the call. */
  leave(): Promise<void>
  /** Aborts the rest of the call with an error of its consumer. @throws that error, as the call reports it */
  fail(cause: unknown): Promise<never>
}
