import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import type { ProtocolHost } from './api/host.ts'
import type { ProtocolKind } from './api/interceptor.ts'
import { protobufCodec } from './message/codec.ts'
import { ProtocolBase, type ProtocolInit } from './protocol-base.ts'
import type { RequestContext } from './serve/incoming-request.ts'

/** A protocol whose messages are protobuf: their schemas, as protoc-gen-es makes them. */
export interface ProtobufProtocolInit<Req extends DescMessage, Res extends DescMessage>
  extends Pick<ProtocolInit<never, never, never, never>, 'id' | 'limits' | 'interceptors' | 'pipelined' | 'serve'> {
  request: Req
  response: Res
}

/** One protobuf request, one protobuf answer: name the two schemas, answer requests, call peers. */
export abstract class ProtobufProtocol<Req extends DescMessage, Res extends DescMessage> extends ProtocolBase<
  MessageInitShape<Req>,
  MessageInitShape<Res>,
  MessageShape<Req>,
  MessageShape<Res>
> {
  /** @throws UsageError for an id that is none, or that another protocol of the node has */
  constructor(host: ProtocolHost, init: ProtobufProtocolInit<Req, Res>) {
    super(host, withCodecs(init, 'unary'))
  }

  /** Answers one request. What it throws resets the stream: the caller gets REMOTE_FAILED. */
  protected abstract override handleRequest(context: RequestContext, request: MessageShape<Req>): Promise<MessageInitShape<Res>>
}

/** One protobuf request, any number of protobuf answers, as they come. */
export abstract class ProtobufStreamingProtocol<Req extends DescMessage, Res extends DescMessage> extends ProtocolBase<
  MessageInitShape<Req>,
  MessageInitShape<Res>,
  MessageShape<Req>,
  MessageShape<Res>
> {
  /** @throws UsageError for an id that is none, or that another protocol of the node has */
  constructor(host: ProtocolHost, init: ProtobufProtocolInit<Req, Res>) {
    super(host, withCodecs(init, 'server-streaming'))
  }

  /**
   * Answers one request, most simply as an async generator. It is asked for the next answer when the caller has room for it; when the caller
   * leaves, `context.signal` aborts and the generator is returned. What it throws resets the stream: the caller gets REMOTE_FAILED.
   */
  protected abstract override handleRequest(context: RequestContext, request: MessageShape<Req>): AsyncIterable<MessageInitShape<Res>>
}

function withCodecs<Req extends DescMessage, Res extends DescMessage>(
  { request, response, ...init }: ProtobufProtocolInit<Req, Res>,
  kind: ProtocolKind,
): ProtocolInit<MessageInitShape<Req>, MessageInitShape<Res>, MessageShape<Req>, MessageShape<Res>> {
  return { ...init, kind, request: protobufCodec(request), response: protobufCodec(response), schemas: { request, response } }
}
