import { randomInt } from 'node:crypto'
import type { Connection, StreamHandler } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import {
  type DialRequest,
  DialStatus,
  MessageSchema,
  DialResponse_ResponseStatus as ResponseStatus,
} from '../../gen/libp2p/autonat/v2/autonat_pb.ts'
import { readNamed, withPeerId } from '../../primitives/address.ts'
import { isRelayed, kindOf } from '../../primitives/address-kind.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { type Rate, TokenBuckets } from '../../primitives/token-bucket.ts'
import type { ProtobufStream } from '../adapters/protobuf-stream.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { autonatStream, DIAL_REQUEST_PROTOCOL_ID } from './autonat-stream.ts'
import type { ProtocolRegistrar } from './dial-requests.ts'

/** Outcome of a dial-back. `refused` if this node must not dial the address or has no route to it. */
export type DialledBack = 'reached' | 'failed' | 'no proof taken' | 'refused'

export interface DialBackServerInit {
  registrar: ProtocolRegistrar
  policy: DialPolicy
  /** Dials an address that ends in `/p2p` on a new connection, and sends the nonce there. */
  dial(address: Multiaddr, nonce: bigint, signal: AbortSignal): Promise<DialledBack>
  /** True if the remote peer belongs to the subnet. May wait for its identify message. */
  isOfSubnet(connection: Connection, signal: AbortSignal): Promise<boolean>
  now?: (() => number) | undefined
}

/** Rate limits: requests per peer, per host and in total, and requests that require dial data. */
const RATES = {
  peer: { burst: 12, refillMs: 5_000 },
  host: { burst: 24, refillMs: 2_500 },
  all: { burst: 60, refillMs: 1_000 },
  paid: { burst: 12, refillMs: 5_000 },
} satisfies Record<string, Rate>
const MAX_REMEMBERED = 1_024
/** Maximum concurrent requests. */
const MAX_RUNNING = 8
/** Maximum addresses considered per request. Only one is dialled. */
const MAX_ADDRESSES = 16
/** Time limit of one request, in milliseconds. */
const ANSWER_TIMEOUT_MS = 25_000
/** Maximum streams per connection. A peer sends its requests one after the other. */
const MAX_STREAMS = 2
/** Dial data that a requester has to send before this node dials another host than the observed one, in bytes, as in the specification. */
const DIAL_DATA_BYTES = { min: 30_000, max: 100_000 }

/**
 * Dials peers of the subnet back at one of the addresses they request, and reports the result. The addresses are untrusted: only public IP
 * addresses are dialled. Private and loopback addresses are dialled only if they match the host of the connection and the dial policy
 * allows them.
 */
export class DialBackServer {
  readonly #init: DialBackServerInit
  readonly #tokens: TokenBuckets
  readonly #running = new Set<string>()
  readonly #closing = new AbortController()

  constructor(init: DialBackServerInit) {
    this.#init = init
    this.#tokens = new TokenBuckets({ maxKeys: MAX_REMEMBERED, ...(init.now == null ? {} : { now: init.now }) })
  }

  async start(): Promise<void> {
    await this.#init.registrar.handle(DIAL_REQUEST_PROTOCOL_ID, this.#onRequest, { maxInboundStreams: MAX_STREAMS })
  }

  /** Aborts requests in progress. */
  stop(): void {
    this.#closing.abort(new Error('the node stops'))
  }

  readonly #onRequest: StreamHandler = async (stream, connection) => {
    using deadline = new Deadline(ANSWER_TIMEOUT_MS, this.#closing.signal)
    try {
      await this.#answer(autonatStream(stream), connection, deadline.signal)
      await stream.close({ signal: deadline.signal })
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error('not answered'))
    }
  }

  async #answer(messages: ProtobufStream, connection: Connection, signal: AbortSignal): Promise<void> {
    const { msg } = await messages.read(MessageSchema, signal)
    if (msg.case !== 'dialRequest') {
      throw new Error('not a request')
    }
    const peer = connection.remotePeer.toString()
    const respond = async (status: ResponseStatus, addrIdx = 0, dialStatus: DialStatus = DialStatus.UNUSED): Promise<void> =>
      messages.write(MessageSchema, { msg: { case: 'dialResponse', value: { status, addrIdx, dialStatus } } }, signal)
    if (!this.#hasRoom(peer, hostOf(connection.remoteAddr)) || !(await this.#init.isOfSubnet(connection, signal))) {
      return respond(ResponseStatus.E_REQUEST_REJECTED)
    }
    this.#running.add(peer)
    try {
      const chosen = this.#choose(msg.value, connection)
      if (chosen == null) {
        return await respond(ResponseStatus.E_DIAL_REFUSED)
      }
      if (!chosen.isOwnHost && !(await this.#takePay(messages, chosen.index, signal))) {
        return await respond(ResponseStatus.E_REQUEST_REJECTED, chosen.index)
      }
      const came = await this.#init.dial(chosen.address, msg.value.nonce, signal)
      await (came === 'refused'
        ? respond(ResponseStatus.E_DIAL_REFUSED, chosen.index)
        : respond(ResponseStatus.OK, chosen.index, STATUS[came]))
    } finally {
      this.#running.delete(peer)
    }
  }

  #hasRoom(peer: string, host: string | undefined): boolean {
    return (
      host != null &&
      !this.#running.has(peer) &&
      this.#running.size < MAX_RUNNING &&
      this.#tokens.take(`peer ${peer}`, RATES.peer) &&
      this.#tokens.take(`host ${host}`, RATES.host) &&
      this.#tokens.take('all', RATES.all)
    )
  }

  /** Returns the first address that may be dialled. */
  #choose({ addrs }: DialRequest, connection: Connection): { address: Multiaddr; index: number; isOwnHost: boolean } | undefined {
    const own = hostOf(connection.remoteAddr)
    for (const [index, bytes] of addrs.slice(0, MAX_ADDRESSES).entries()) {
      const named = readNamed(bytes)
      const address = named == null || isRelayed(named) ? undefined : withPeerId(named, connection.remotePeer)
      const isOwnHost = address != null && hostOf(address) === own
      if (address != null && this.#mayDial(address, isOwnHost, connection)) {
        return { address, index, isOwnHost }
      }
    }
    return undefined
  }

  #mayDial(address: Multiaddr, isOwnHost: boolean, connection: Connection): boolean {
    const { policy } = this.#init
    const kind = kindOf(address)
    if (kind === 'public') {
      return true
    }
    const namedOver = policy.namedOver([connection])
    if ((kind !== 'private' && kind !== 'loopback') || !isOwnHost || policy.refusalOf(address, namedOver) != null) {
      return false
    }
    policy.note([address], namedOver)
    return true
  }

  /** Requests dial data. False if the rate limit is reached. @throws if the requester does not send it */
  async #takePay(messages: ProtobufStream, addrIdx: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#tokens.take('paid', RATES.paid)) {
      return false
    }
    const numBytes = randomInt(DIAL_DATA_BYTES.min, DIAL_DATA_BYTES.max + 1)
    await messages.write(MessageSchema, { msg: { case: 'dialDataRequest', value: { addrIdx, numBytes: BigInt(numBytes) } } }, signal)
    for (let received = 0; received < numBytes; ) {
      const { msg } = await messages.read(MessageSchema, signal)
      if (msg.case !== 'dialDataResponse' || msg.value.data.byteLength === 0) {
        throw new Error('the requester does not pay')
      }
      received += msg.value.data.byteLength
    }
    return true
  }
}

const STATUS = {
  reached: DialStatus.OK,
  failed: DialStatus.E_DIAL_ERROR,
  'no proof taken': DialStatus.E_DIAL_BACK_ERROR,
} satisfies Record<Exclude<DialledBack, 'refused'>, DialStatus>

/** The IP address of a direct address. Undefined for a name or a relayed address. */
function hostOf(address: Multiaddr): string | undefined {
  const [host] = address.getComponents()
  return isRelayed(address) || (host?.name !== 'ip4' && host?.name !== 'ip6') ? undefined : host.value
}
