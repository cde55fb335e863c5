import type { Stream, StreamCloseEvent } from '@libp2p/interface'
import type { Deadline } from '../../../primitives/deadline.ts'

/**
 * Closes the write side once the peer has accepted all written data. libp2p's `close` does not notice a concurrent abort: it waits for its
 * signal, which retains the stream. Clears the deadline. @throws the reason of the deadline; the error of the stream
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
