import type { yamux } from '@chainsafe/libp2p-yamux'
import { YieldingQueue } from '../../primitives/yielding-queue.ts'

type Yamux = ReturnType<typeof yamux>
type YamuxMuxer = ReturnType<ReturnType<Yamux>['createStreamMuxer']>

/** One for the process, as its event loop is. */
const turns = new YieldingQueue({ sliceMs: 0 })

/** Resolves when the next stream of a peer may be negotiated. */
export async function turnOfStream(): Promise<void> {
  return turns.next()
}

/**
 * Yamux that hands on the streams of all connections one after the other, each in a turn of the event loop: what peers send on open
 * streams is read between them, however many streams others open at once. What comes for a stream that waits is kept in it.
 */
export function inTurns(inner: Yamux): Yamux {
  return () => {
    const factory = inner()
    return { protocol: factory.protocol, createStreamMuxer: (connection) => wait(factory.createStreamMuxer(connection)) }
  }
}

function wait(muxer: YamuxMuxer): YamuxMuxer {
  const dispatch = muxer.safeDispatchEvent.bind(muxer) as YamuxMuxer['safeDispatchEvent']
  muxer.safeDispatchEvent = (type, detail) => {
    if (type !== 'stream') {
      return dispatch(type, detail)
    }
    turnOfStream().then(
      () => dispatch(type, detail),
      () => undefined,
    )
    return true
  }
  return muxer
}
