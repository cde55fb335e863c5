import type { yamux } from '@chainsafe/libp2p-yamux'
import type { YamuxStream } from '@chainsafe/libp2p-yamux/stream'
import { negotiateLazily, noteReset } from '../../protocol/carrier/negotiate/negotiation.ts'

/** Flags of a frame: https://github.com/hashicorp/yamux/blob/master/spec.md */
const FIN = 4
const RST = 8
const WINDOW_UPDATE = 1

type Yamux = ReturnType<typeof yamux>
type YamuxMuxer = ReturnType<ReturnType<Yamux>['createStreamMuxer']>
type CreateOptions = Parameters<YamuxMuxer['createStream']>[0] & { protocol?: string | undefined; lazily?: boolean | undefined }

/** Yamux whose streams are negotiated lazily where that is asked for, tell the code of a reset, and lose no byte at their end. */
export function forCalls(inner: Yamux): Yamux {
  return () => {
    const factory = inner()
    return { protocol: factory.protocol, createStreamMuxer: (connection) => adapt(factory.createStreamMuxer(connection)) }
  }
}

function adapt(muxer: YamuxMuxer): YamuxMuxer {
  const createStream = muxer.createStream.bind(muxer)
  const onRemoteStream = muxer.onRemoteStream.bind(muxer)
  muxer.createStream = async (options?: CreateOptions) => {
    const stream = tellResets(endBehindData(await createStream(options)))
    if (options?.lazily === true && options.protocol != null) {
      // libp2p negotiates only where a stream has no protocol yet
      negotiateLazily(stream, options.protocol)
    }
    return stream
  }
  muxer.onRemoteStream = (stream) => onRemoteStream(tellResets(endBehindData(takeBack(stream))))
  return muxer
}

/** A reset carries a code in place of a window: go-libp2p says with it why. */
function tellResets(stream: YamuxStream): YamuxStream {
  const handleWindowUpdate = stream.handleWindowUpdate.bind(stream)
  stream.handleWindowUpdate = (frame) => {
    if ((frame.header.flag & RST) === RST) {
      noteReset(stream, frame.header.length)
    }
    handleWindowUpdate(frame)
  }
  return stream
}

/** The end of a stream that comes in one frame with its last bytes is told behind them: before, they would count as late and be dropped. */
function endBehindData(stream: YamuxStream): YamuxStream {
  const handleData = stream.handleData.bind(stream)
  stream.handleData = (frame) => {
    const { header } = frame
    if ((header.flag & FIN) === 0 || header.length === 0) {
      handleData(frame)
      return
    }
    handleData({ ...frame, header: { ...header, flag: header.flag & ~FIN } })
    stream.handleWindowUpdate({ header: { ...header, type: WINDOW_UPDATE, flag: FIN, length: 0 } })
  }
  return stream
}

/**
 * What libp2p has read beyond a negotiation it gives back with `unshift`, which throws where the stream has been read to its end: so it has where
 * the request and its end were there before the connection was set up.
 */
function takeBack(stream: YamuxStream): YamuxStream {
  const unshift = stream.unshift.bind(stream)
  stream.unshift = (data) => {
    if (stream.readStatus === 'closed' && stream.status === 'open') {
      stream.readStatus = 'readable'
    }
    unshift(data)
  }
  return stream
}
