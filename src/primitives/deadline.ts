/** Joins a caller's signal and a deadline in milliseconds; either may be absent. */
export function withDeadline(signal: AbortSignal | undefined, timeoutMs: number | undefined): AbortSignal | undefined {
  if (timeoutMs == null) {
    return signal
  }
  const deadline = AbortSignal.timeout(timeoutMs)
  return signal == null ? deadline : AbortSignal.any([signal, deadline])
}

/** True for the reason that a signal made by `AbortSignal.timeout` aborts with. */
export function isDeadline(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError'
}
