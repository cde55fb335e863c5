import type { Stream, StreamCloseEvent } from '@libp2p/interface'
import type { Deadline } from '../../../primitives/deadline.ts'

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

/**
 * Closes the write side once the other side has taken what was written. libp2p's own `close` does not notice an abort that comes meanwhile: it waits
 * for its signal, which holds the stream. Clears the deadline. @throws the reason of the deadline; what the stream ended with
 */
export async function closeInTime(stream: Stream, deadline: Deadline): Promise<void> {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>()
  const onClose = ({ error }: StreamCloseEvent): void => (error == null ? resolve() : reject(error))
  stream.addEventListener('close', onClose)
  try {
    await Promise.race([stream.close({ signal: deadline.signal }), ended])
  } finally {
    deadline.clear()
    stream.removeEventListener('close', onClose)
  }
}
