import type { yamux } from '@chainsafe/libp2p-yamux'
import { YieldingQueue } from '../../primitives/yielding-queue.ts'

type Yamux = ReturnType<typeof yamux>
type YamuxMuxer = ReturnType<ReturnType<Yamux>['createStreamMuxer']>

/** One queue per process, because the event loop is shared. */
const turns = new YieldingQueue({ sliceMs: 0 })

/** Resolves when the next inbound stream may be negotiated. */
export async function turnOfStream(): Promise<void> {
  return turns.next()
}

/**
 * Yamux that dispatches the inbound streams of all connections one by one, each in its own turn of the event loop. Data on open streams is
 * read in between, however many streams other peers open. Data for a queued stream is buffered in the stream.
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
