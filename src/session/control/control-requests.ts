import { fromBinary } from '@bufbuild/protobuf'
import { Code, ConnectError, type ConnectRouter, createConnectRouter, type Interceptor } from '@connectrpc/connect'
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from '@connectrpc/connect/protocol'
import { type connectNodeAdapter, universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node'
import { describeError } from '../../primitives/errors.ts'
import { MAX_TIMEOUT_MS, toConnectError } from './control-codec.ts'

type HttpListener = ReturnType<typeof connectNodeAdapter>
type HttpResponse = Parameters<HttpListener>[1]

/** The maximum size of a client's message: a chunk, a head, or a list of addresses. */
const MAX_MESSAGE_BYTES = 1 << 20
const NOT_FOUND = 404
const BAD_REQUEST = 400
const TIMEOUT_HEADER = 'connect-timeout-ms'
const JSON_TYPE = 'application/json'
const PROTOBUF_TYPE = /^application\/proto\b/i

/** Error bodies for statuses that Connect sends without a body. */
const REFUSALS: Record<number, { code: string; message: string }> = {
  [NOT_FOUND]: { code: 'unimplemented', message: 'there is no such method' },
  405: { code: 'invalid_argument', message: 'a call is a POST' },
  415: {
    code: 'invalid_argument',
    message: `content-type: expected ${JSON_TYPE} or application/proto; for a streaming call, application/connect+json or application/connect+proto`,
  },
  505: { code: 'unimplemented', message: 'a bidirectional streaming call needs HTTP/2' },
}

/**
 * Answers HTTP requests in the Connect protocol; every failure is a `Failure`. A caller's fault is reported as such, in one line. Connect
 * alone would report invalid protobuf as a server fault, throw for an invalid Host header, and set timers beyond Node's maximum.
 */
export function answerRequests(routes: (router: ConnectRouter) => ConnectRouter): HttpListener {
  const router = createConnectRouter({
    interceptors: [tellFailures],
    readMaxBytes: MAX_MESSAGE_BYTES,
    acceptCompression: [],
    grpc: false,
    grpcWeb: false,
  })
  const handlers = new Map(routes(router).handlers.map((handler) => [handler.requestPath, handler]))
  return (request, response) => {
    const handler = handlers.get(request.url?.split('?', 1)[0] ?? '')
    if (handler == null) {
      refuse(response, NOT_FOUND, REFUSALS[NOT_FOUND])
      return
    }
    let call: UniversalServerRequest
    try {
      call = universalRequestFromNodeRequest(request, response, undefined, undefined)
    } catch {
      refuse(response, BAD_REQUEST, { code: 'invalid_argument', message: 'the host or the path of the request is not valid' })
      return
    }
    if (Number(call.header.get(TIMEOUT_HEADER)) > MAX_TIMEOUT_MS) {
      refuse(response, BAD_REQUEST, { code: 'invalid_argument', message: `${TIMEOUT_HEADER}: expected at most ${MAX_TIMEOUT_MS}` })
      return
    }
    // only the connection can fail here: the client is gone
    answer(handler, call, response).catch(() => response.end())
  }
}

async function answer(handler: UniversalHandler, call: UniversalServerRequest, response: HttpResponse): Promise<void> {
  const answered: UniversalServerResponse = await handler({ ...call, body: bodyOf(handler, call) })
  const refusal = answered.body == null ? REFUSALS[answered.status] : undefined
  if (refusal == null) {
    await universalResponseToNodeResponse(answered, response)
  } else {
    refuse(response, answered.status, refusal)
  }
}

function refuse(response: HttpResponse, status: number, refusal: object | undefined): void {
  response.writeHead(status, { 'content-type': JSON_TYPE })
  response.end(JSON.stringify(refusal))
}

function bodyOf({ method }: UniversalHandler, { body, header }: UniversalServerRequest): UniversalServerRequest['body'] {
  const isMessage = method.methodKind === 'unary' && PROTOBUF_TYPE.test(header.get('content-type') ?? '')
  return isMessage && isBytes(body) ? readable(body, method) : body
}

function isBytes(body: UniversalServerRequest['body']): body is AsyncIterable<Uint8Array> {
  return typeof body === 'object' && body != null && Symbol.asyncIterator in body
}

/** Passes the body on, and validates it at the end. The consumer bounds its size. @throws ConnectError at the end of an invalid message */
async function* readable(body: AsyncIterable<Uint8Array>, { input }: UniversalHandler['method']): AsyncGenerator<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of body) {
    parts.push(part)
    yield part
  }
  try {
    fromBinary(input, Buffer.concat(parts))
  } catch (error) {
    throw new ConnectError(`the request is not a valid ${input.typeName}: ${describeError(error)}`, Code.InvalidArgument)
  }
}

/** Converts every error to a Failure. */
const tellFailures: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request.stream ? { ...request, message: received(request.message) } : request)
    return response.stream ? { ...response, message: failing(response.message) } : response
  } catch (error) {
    throw toConnectError(error)
  }
}

/** Passes a client's messages on; an undecodable message is reported as the client's fault. */
async function* received<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages
  } catch (error) {
    const unreadable = error instanceof ConnectError && error.code === Code.Internal
    throw unreadable ? new ConnectError(error.rawMessage, Code.InvalidArgument) : error
  }
}

async function* failing<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages
  } catch (error) {
    throw toConnectError(error)
  }
}
