import type { yamux } from '@chainsafe/libp2p-yamux'
import type { YamuxStream } from '@chainsafe/libp2p-yamux/stream'
import { negotiateLazily, noteReset } from '../../protocol/carrier/negotiate/negotiation.ts'

/** Flags of a yamux frame: https://github.com/hashicorp/yamux/blob/master/spec.md */
const FIN = 4
const RST = 8
const WINDOW_UPDATE = 1

type Yamux = ReturnType<typeof yamux>
type YamuxMuxer = ReturnType<ReturnType<Yamux>['createStreamMuxer']>
type CreateOptions = Parameters<YamuxMuxer['createStream']>[0] & { protocol?: string | undefined; lazily?: boolean | undefined }

/** Yamux with lazy negotiation on request, reset codes, and no data loss at the end of a stream. */
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
      // libp2p negotiates only on streams without a protocol
      negotiateLazily(stream, options.protocol)
    }
    return stream
  }
  muxer.onRemoteStream = (stream) => onRemoteStream(tellResets(endBehindData(takeBack(stream))))
  return muxer
}

/** Records the code of a reset. go-libp2p sends it in place of the window. */
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

/** Splits a frame that carries both data and FIN, and handles FIN after the data. Otherwise the data would count as late and be dropped. */
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
 * Lets libp2p return surplus bytes of a negotiation with `unshift`, which throws on a fully read stream. That happens if the request and
 * its FIN arrived before the connection was set up.
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
