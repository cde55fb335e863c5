import { type IncomingMessage, request } from 'node:http'
import { Deadline } from '../../primitives/deadline.ts'
import { asNoAnswer, GatewayError, type Place } from './gateway.ts'

export interface RouterRequest {
  method: 'GET' | 'POST'
  headers?: Record<string, string>
  body?: string
}

export interface RouterResponse {
  status: number
  text: string
}

/** Maximum size of a response. Router descriptions have 2 to 20 KiB. */
const MAX_BYTES = 64 * 1024
/** Time limit from connecting to the last byte, in milliseconds. */
const TIMEOUT_MS = 5_000

/**
 * Sends one HTTP request to a router, limited to 64 KiB and 5 seconds. Follows no redirect and keeps no connection. @throws GatewayError,
 * or the signal's reason
 */
export async function askRouter(url: URL, { localAddress }: Place, asked: RouterRequest, signal: AbortSignal): Promise<RouterResponse> {
  using deadline = new Deadline(TIMEOUT_MS, signal)
  try {
    return await deadline.race(exchange(url, localAddress, asked, deadline.signal))
  } catch (error) {
    signal.throwIfAborted()
    throw asNoAnswer(error, 'the router does not answer UPnP')
  }
}

async function exchange(url: URL, localAddress: string, { body, ...asked }: RouterRequest, signal: AbortSignal): Promise<RouterResponse> {
  const answered = Promise.withResolvers<IncomingMessage>()
  // an agent would keep the connection, and might use a proxy
  const sent = request(url, { ...asked, agent: false, localAddress, signal }, answered.resolve)
  sent.on('error', answered.reject)
  sent.end(body)
  const response = await answered.promise
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength
    if (bytes > MAX_BYTES) {
      // ends the loop and closes the connection
      throw new GatewayError('MALFORMED', `the router sent more than ${MAX_BYTES >> 10} KiB`)
    }
    chunks.push(chunk)
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }
}

/** Parses a URL from the router's answer. It must point to the router itself. @throws GatewayError */
export function ownUrl(text: string, { router }: Place, base?: URL): URL {
  const url = URL.canParse(text, base?.href) ? new URL(text, base?.href) : undefined
  if (url?.protocol !== 'http:' || url.hostname !== router || url.username !== '' || url.password !== '') {
    throw new GatewayError('MALFORMED', 'the router names a URL that is not its own')
  }
  return url
}
