import { type CallOptions, type Destination, ProtobufProtocol, type ProtocolHost, type RequestContext } from 'subnet-cli'
import { type __Pascal__Request, __Pascal__RequestSchema, type __Pascal__Response, __Pascal__ResponseSchema } from './gen/__snake___pb.ts'
import { handle } from './handler.ts'

/** `/__kebab__/1.0.0`: constructing it with a node serves it there, and lets the node call others. */
export class __Pascal__Protocol extends ProtobufProtocol<typeof __Pascal__RequestSchema, typeof __Pascal__ResponseSchema> {
  constructor(node: ProtocolHost) {
    super(node, { id: '/__kebab__/1.0.0', request: __Pascal__RequestSchema, response: __Pascal__ResponseSchema })
  }

  /** Asks a peer: a peer ID, which is looked up, or a multiaddr. @throws ProtocolError, ResolveError */
  async call(to: Destination, name: string, options?: CallOptions): Promise<__Pascal__Response> {
    return this.callRemote(to, { name }, options)
  }

  protected override async handleRequest(context: RequestContext, request: __Pascal__Request) {
    return handle(request, context)
  }
}

/** What `subnet start --protocol ./dist/index.js` constructs with its node. */
export default __Pascal__Protocol
