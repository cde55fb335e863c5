import type { Stream } from '@libp2p/interface'

/** How long a finished stream may linger until the other side closes it too. */
const LINGER_MS = 5_000

/** A stream is gone only when both sides closed it: one whose other side never does is reset. */
export function lingerUntilClosed(stream: Stream, stallTimeoutMs: number): void {
  if (stream.status !== 'open' && stream.status !== 'closing') {
    return
  }
  const timer = setTimeout(() => stream.abort(new Error('the other side did not close the stream')), Math.min(LINGER_MS, stallTimeoutMs))
  timer.unref()
  stream.addEventListener('close', () => clearTimeout(timer), { once: true })
}
