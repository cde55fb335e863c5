import type { Stream } from '@libp2p/interface'

/** Time limit for the peer to close a stream after this side, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000

/**
 * Resets a locally closed stream unless the peer closes it too, because a stream is freed only when both sides have closed it.
 * @param stallTimeoutMs the maximum wait, if shorter than 5 s
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
