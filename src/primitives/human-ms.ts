/**
 * Formats a duration for people: `< 1 ms`, `1.5 ms`, `12 s`, `3 min`, `5 h`, `4 d`. A negative duration, after a clock was set back, is shown as 0.
 */
export function humanMs(given: number): string {
  const ms = Math.max(0, given)
  if (ms < 1) {
    return '< 1 ms'
  }
  if (ms < 1_000) {
    return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  }
  if (ms < 120_000) {
    return `${Math.round(ms / 1_000)} s`
  }
  if (ms < 7_200_000) {
    return `${Math.round(ms / 60_000)} min`
  }
  return ms < 172_800_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} d`
}

/** The same with tenths of a second below 100 s: `7.5 s`. For the duration of an operation. */
export function durationText(ms: number): string {
  return ms >= 1_000 && ms < 100_000 ? `${(ms / 1_000).toFixed(1)} s` : humanMs(ms)
}
