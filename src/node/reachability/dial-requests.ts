import { randomBytes } from 'node:crypto'
import type { Connection, Stream, StreamHandler } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import {
  DialBackResponse_DialBackStatus,
  DialBackResponseSchema,
  DialBackSchema,
  type DialDataRequest,
  type DialResponse,
  DialResponse_ResponseStatus,
  DialStatus,
  MessageSchema,
} from '../../gen/libp2p/autonat/v2/autonat_pb.ts'
import { Deadline } from '../../primitives/deadline.ts'
import type { ProtobufStream } from '../adapters/protobuf-stream.ts'
import { autonatStream, DIAL_BACK_PROTOCOL_ID, DIAL_REQUEST_PROTOCOL_ID } from './autonat-stream.ts'
import type { DialBackReport } from './reachability.ts'

/** A peer's dial-back report, without its ID and the time. */
export type DialBackAnswer = Pick<DialBackReport, 'outcome' | 'detail'>

/** The part of libp2p that registers protocol handlers. */
export interface ProtocolRegistrar {
  handle(protocol: string, handler: StreamHandler, options?: { maxInboundStreams?: number; maxOutboundStreams?: number }): Promise<void>
}

/** Maximum dial data that a peer may request before it dials another host than the observed one, in bytes, as in the specification. */
const MAX_DIAL_DATA_BYTES = 100_000
/** Dial data sent per message. */
const DIAL_DATA_PIECE = new Uint8Array(4_096)
/** Time limit of one request, in milliseconds. Most of it is for the peer's dial. */
const ASK_TIMEOUT_MS = 30_000
/** Maximum delay of the proof behind the response, in milliseconds. */
const LATE_PROOF_MS = 2_000
const DIAL_BACK_TIMEOUT_MS = 5_000
const MAX_DIAL_BACK_STREAMS = 4

/** Requests dial-backs from peers, and accepts the proofs. */
export class DialRequests {
  readonly #registrar: ProtocolRegistrar
  /** Pending requests by nonce. */
  readonly #waiting = new Map<bigint, () => void>()

  constructor(registrar: ProtocolRegistrar) {
    this.#registrar = registrar
  }

  async start(): Promise<void> {
    const limits = { maxInboundStreams: MAX_DIAL_BACK_STREAMS, maxOutboundStreams: MAX_DIAL_BACK_STREAMS }
    await this.#registrar.handle(DIAL_BACK_PROTOCOL_ID, this.#onDialBack, limits)
  }

  /**
   * Requests a dial of one address from the remote peer. A peer without a usable answer counts as declined.
   * @param address without `/p2p`
   */
  async ask(connection: Connection, address: Multiaddr, signal: AbortSignal): Promise<DialBackAnswer> {
    const nonce = randomBytes(8).readBigUInt64BE()
    const proof = Promise.withResolvers<void>()
    const state = { proven: false }
    this.#waiting.set(nonce, () => {
      state.proven = true
      proof.resolve()
    })
    using deadline = new Deadline(ASK_TIMEOUT_MS, signal)
    let stream: Stream | undefined
    try {
      stream = await connection.newStream(DIAL_REQUEST_PROTOCOL_ID, { signal: deadline.signal })
      const response = await converse(autonatStream(stream), address, nonce, deadline.signal)
      if (saysReached(response) && !state.proven) {
        await within(LATE_PROOF_MS, proof.promise, deadline.signal)
      }
      await stream.close({ signal: deadline.signal })
      return judge(response, state.proven)
    } catch (error) {
      stream?.abort(error instanceof Error ? error : new Error('the peer gave no answer'))
      signal.throwIfAborted()
      // the proof counts, even without a usable answer
      return state.proven ? REACHED : { outcome: 'declined', detail: 'the peer gave no usable answer' }
    } finally {
      this.#waiting.delete(nonce)
    }
  }

  readonly #onDialBack: StreamHandler = async (stream) => {
    using deadline = new Deadline(DIAL_BACK_TIMEOUT_MS)
    try {
      const messages = autonatStream(stream)
      const { nonce } = await messages.read(DialBackSchema, deadline.signal)
      const onProof = this.#waiting.get(nonce)
      if (onProof == null) {
        throw new Error('this node did not ask for a dial with this nonce')
      }
      this.#waiting.delete(nonce)
      onProof()
      await messages.write(DialBackResponseSchema, { status: DialBackResponse_DialBackStatus.OK }, deadline.signal)
      await stream.close({ signal: deadline.signal })
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error('not a dial-back'))
    }
  }
}

const REACHED: DialBackAnswer = { outcome: 'reached', detail: '' }

/** Sends one request, dial data if requested, and reads one response. */
async function converse(messages: ProtobufStream, address: Multiaddr, nonce: bigint, signal: AbortSignal): Promise<DialResponse> {
  await messages.write(MessageSchema, { msg: { case: 'dialRequest', value: { addrs: [address.bytes], nonce } } }, signal)
  let answer = await messages.read(MessageSchema, signal)
  if (answer.msg.case === 'dialDataRequest') {
    await pay(messages, answer.msg.value, signal)
    answer = await messages.read(MessageSchema, signal)
  }
  if (answer.msg.case !== 'dialResponse' || answer.msg.value.addrIdx !== 0) {
    throw new Error('the peer gave no response about this address')
  }
  return answer.msg.value
}

/**
 * Sends the dial data that a peer requires before it dials another host than the observed one. This prevents amplification attacks through
 * the peer.
 */
async function pay(messages: ProtobufStream, { addrIdx, numBytes }: DialDataRequest, signal: AbortSignal): Promise<void> {
  if (addrIdx !== 0 || numBytes > MAX_DIAL_DATA_BYTES) {
    throw new Error('the peer wants more data than the specification allows')
  }
  for (let left = Number(numBytes); left > 0; left -= DIAL_DATA_PIECE.length) {
    const data = DIAL_DATA_PIECE.subarray(0, left)
    await messages.write(MessageSchema, { msg: { case: 'dialDataResponse', value: { data } } }, signal)
  }
}

function saysReached({ status, dialStatus }: DialResponse): boolean {
  return status === DialResponse_ResponseStatus.OK && dialStatus === DialStatus.OK
}

/** Only a failed dial counts against an address. A peer that was busy or must not dial the address has learned nothing. */
function judge({ status, dialStatus }: DialResponse, proven: boolean): DialBackAnswer {
  if (proven) {
    return REACHED
  }
  if (status !== DialResponse_ResponseStatus.OK) {
    return { outcome: 'declined', detail: `the peer did not try: ${nameOf(DialResponse_ResponseStatus, status)}` }
  }
  return dialStatus === DialStatus.E_DIAL_ERROR
    ? { outcome: 'failed', detail: 'the peer could not connect' }
    : { outcome: 'declined', detail: `the peer gave no proof: ${nameOf(DialStatus, dialStatus)}` }
}

function nameOf(names: Record<string, number>, value: number): string {
  return Object.keys(names).find((name) => names[name] === value) ?? String(value)
}

async function within(ms: number, promise: Promise<void>, signal: AbortSignal): Promise<void> {
  using deadline = new Deadline(ms, signal)
  await deadline.race(promise).catch(() => undefined)
}
