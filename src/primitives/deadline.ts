import { Cancellation } from './cancellation.ts'

/** What a call, a command or a file that may be a pipe has where nobody said how long it may take, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 60_000

/** A signal that aborts when the time is up, or when another signal does; `clear` is to be called when the work has ended. */
export type Deadline = Pick<Cancellation, 'signal' | 'clear'>

/** For work that is done often; `withDeadline` is simpler, but its timer stays until the time is up. */
export function startDeadline(timeoutMs: number | undefined, ...signals: Array<AbortSignal | undefined>): Deadline {
  return new Cancellation(timeoutMs, ...signals)
}

/** Joins a caller's signal and a deadline in milliseconds; either may be absent. */
export function withDeadline(signal: AbortSignal | undefined, timeoutMs: number | undefined): AbortSignal | undefined {
  if (timeoutMs == null) {
    return signal
  }
  const deadline = AbortSignal.timeout(timeoutMs)
  return signal == null ? deadline : AbortSignal.any([signal, deadline])
}

/** True for the reason that a signal aborts with when its time is up. */
export function isDeadline(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError'
}

/** Waits for `promise`, but no longer than the signal and `timeoutMs` allow. @throws what `onTimeout` makes; the signal's reason */
export async function raceTime<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  onTimeout: () => Error,
): Promise<T> {
  const { promise: stopped, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal?.reason)
  const timer = timeoutMs == null ? undefined : setTimeout(() => reject(onTimeout()), timeoutMs)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, stopped])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}
