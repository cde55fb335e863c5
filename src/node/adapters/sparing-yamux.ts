import type { yamux } from '@chainsafe/libp2p-yamux'
import type { YamuxStream } from '@chainsafe/libp2p-yamux/stream'

/** Half of the smallest window that yamux knows: a sender always has as much left. */
const UPDATE_AFTER_BYTES = 128 * 1024

type Yamux = ReturnType<typeof yamux>
type YamuxMuxer = ReturnType<ReturnType<Yamux>['createStreamMuxer']>

/**
 * Yamux that opens a stream's window again once 128 KiB of it are used, as other yamuxes do, and not after every frame: that is a
 * frame, an encryption and a write for each small message that comes.
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
  // the first update of a stream that the other side opened says that it is accepted
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
    // a paused stream gives its window back only when it goes on
    if (stream.readStatus !== 'paused') {
      usedBytes = 0
    }
    sendWindowUpdate()
  }
  return stream
}
