import type { Stream } from '@libp2p/interface'

/** How long the other side may take to close a stream that this side has closed, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000

/**
 * Resets a stream that this side has closed unless the other side closes it too: a stream is gone only when both sides have closed it.
 * @param stallTimeoutMs the longest wait, where it is shorter than 5 s
 */
export function resetUnlessClosed(stream: Stream, stallTimeoutMs: number): void {
  if (stream.status !== 'open' && stream.status !== 'closing') {
    return
  }
  const reset = (): void => stream.abort(new Error('the other side did not close the stream'))
  const timer = setTimeout(reset, Math.min(CLOSE_TIMEOUT_MS, stallTimeoutMs))
  timer.unref()
  stream.addEventListener('close', () => clearTimeout(timer), { once: true })
}
