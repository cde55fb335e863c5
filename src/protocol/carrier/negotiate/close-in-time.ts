import type { Stream, StreamCloseEvent } from '@libp2p/interface'
import type { Deadline } from '../../../primitives/deadline.ts'

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
