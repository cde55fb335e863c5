import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { ProtocolBase, type ProtocolHost } from './protocol-base.ts'

export interface ProtobufProtocolInit<Req extends DescMessage, Res extends DescMessage> {
  /** The libp2p protocol ID, as `/name/1.0.0`. */
  id: string
  request: Req
  response: Res
}

/** A protocol whose two messages are protobuf: name their schemas, answer requests, call peers. */
export abstract class ProtobufProtocol<Req extends DescMessage, Res extends DescMessage> extends ProtocolBase<
  MessageInitShape<Req>,
  MessageInitShape<Res>,
  MessageShape<Req>,
  MessageShape<Res>
> {
  readonly #request: Req
  readonly #response: Res

  constructor(host: ProtocolHost, init: ProtobufProtocolInit<Req, Res>) {
    super(host, init.id)
    this.#request = init.request
    this.#response = init.response
  }

  protected override encodeRequest(request: MessageInitShape<Req>): Uint8Array {
    return toBinary(this.#request, create(this.#request, request))
  }

  protected override decodeRequest(bytes: Uint8Array): MessageShape<Req> {
    return fromBinary(this.#request, bytes)
  }

  protected override encodeResponse(response: MessageInitShape<Res>): Uint8Array {
    return toBinary(this.#response, create(this.#response, response))
  }

  protected override decodeResponse(bytes: Uint8Array): MessageShape<Res> {
    return fromBinary(this.#response, bytes)
  }
}
