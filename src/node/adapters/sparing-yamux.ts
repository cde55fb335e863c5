import type { yamux } from '@chainsafe/libp2p-yamux'
import type { YamuxStream } from '@chainsafe/libp2p-yamux/stream'

/** Half of the smallest yamux window, so a sender always keeps at least that much. */
const UPDATE_AFTER_BYTES = 128 * 1024

type Yamux = ReturnType<typeof yamux>
type YamuxMuxer = ReturnType<ReturnType<Yamux>['createStreamMuxer']>

/**
 * Yamux that updates a stream's flow-control window after 128 KiB, like other implementations. The original updates it after every frame:
 * one frame, one encryption and one write for each small message received.
 */
export function sparing(inner: Yamux): Yamux {
  return () => {
    const factory = inner()
    return { protocol: factory.protocol, createStreamMuxer: (connection) => spare(factory.createStreamMuxer(connection)) }
  }
}

function spare(muxer: YamuxMuxer): YamuxMuxer {
  const createStream = muxer.createStream.bind(muxer)
  const onRemoteStream = muxer.onRemoteStream.bind(muxer)
  muxer.createStream = async (options) => updateLess(await createStream(options))
  muxer.onRemoteStream = (stream) => onRemoteStream(updateLess(stream))
  return muxer
}

function updateLess(stream: YamuxStream): YamuxStream {
  const handleData = stream.handleData.bind(stream)
  const sendWindowUpdate = stream.sendWindowUpdate.bind(stream)
  // the first update of an inbound stream is its acknowledgement
  let accepted = stream.direction === 'outbound'
  let usedBytes = 0
  stream.handleData = (frame) => {
    usedBytes += frame.header.length
    handleData(frame)
  }
  stream.sendWindowUpdate = () => {
    if (accepted && usedBytes < UPDATE_AFTER_BYTES) {
      return
    }
    accepted = true
    // a paused stream restores its window only when it resumes
    if (stream.readStatus !== 'paused') {
      usedBytes = 0
    }
    sendWindowUpdate()
  }
  return stream
}
