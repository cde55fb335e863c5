import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import { LRUCache } from 'lru-cache'
import * as Digest from 'multiformats/hashes/digest'
import {
  type AddressAnswer,
  AddressAnswerSchema,
  type AddressQuery,
  AddressQuerySchema,
  AddressStatus,
} from '../../gen/subnet/address/v1/address_pb.ts'
import type { Logger } from '../../observe/logger.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'
import { ProtocolError } from '../api/errors.ts'
import type { ProtocolHost } from '../api/host.ts'
import { ProtobufProtocol } from '../protobuf-protocol.ts'
import type { RequestContext } from '../serve/incoming-request.ts'

/** A signed peer record on the wire, with its age. */
export interface KnownRecord {
  envelope: Uint8Array
  ageMs: number
  intervalMs: number
}

/** The node's source of addresses for this protocol. */
export interface AddressDirectory {
  /** The freshest signed record of a peer, including this node itself. Undefined if the record is stale or refuted. */
  recordOf(peerId: PeerId): Promise<KnownRecord | undefined>
  /** The sequence number of an envelope that contains this peer's record, signed by it. Undefined for any other envelope. */
  sequenceOf(envelope: Uint8Array, peerId: PeerId): Promise<bigint | undefined>
  /** Connected peers that support this protocol, closest to `target` first. */
  neighbours(target: PeerId): PeerId[]
}

export interface AskOptions {
  signal?: AbortSignal | undefined
  /** Time limit of the neighbour's answer, in milliseconds. @default 2_500 */
  timeoutMs?: number | undefined
  /** Maximum peers that the query may pass, including the neighbour: 1 to 3. @default 2 */
  hops?: number | undefined
}

export const ADDRESS_PROTOCOL_ID = '/subnet/address/1.0.0'

const MAX_HOPS = 3
const DEFAULT_HOPS = 2
const DEFAULT_TIMEOUT_MS = 2_500
const MAX_TIMEOUT_MS = 10_000
/** A query or an answer contains one peer record. */
const MAX_FRAME_BYTES = 8 * 1024
const QUERY_ID_BYTES = 16
const MAX_FORWARDS = 8
const QUERIES_PER_PEER = { burst: 10, refillMs: 100 }
const MISS_TTL_MS = 5_000
const SEEN_TTL_MS = 30_000
const MAX_REMEMBERED = 10_000
/** Time that each hop reserves of the deadline to answer in time, in milliseconds. */
const HOP_RESERVE_MS = 100
/** Wait for newer answers after the first, when a query is forwarded, in milliseconds. */
const LATECOMERS_MS = 150

/** A verified record, with its hop count and sequence number. */
type Answered = KnownRecord & { hops: number; seq: bigint }

interface Query {
  id: Uint8Array
  peerId: PeerId
  hops: number
  timeoutMs: number
}

/** `/subnet/address/1.0.0`: asks for the address of a peer. The answer is its signed record, from this node or from a forwarded query. */
export class AddressProtocol extends ProtobufProtocol<typeof AddressQuerySchema, typeof AddressAnswerSchema> {
  readonly #directory: AddressDirectory
  readonly #log: Logger
  readonly #rates: TokenBuckets
  readonly #seen: LRUCache<string, true>
  /** Peers that no neighbour knew, with the hops of the query. */
  readonly #misses: LRUCache<string, number>

  constructor(host: ProtocolHost, directory: AddressDirectory, options: { now?: () => number } = {}) {
    super(host, {
      id: ADDRESS_PROTOCOL_ID,
      request: AddressQuerySchema,
      response: AddressAnswerSchema,
      limits: { maxFrameBytes: MAX_FRAME_BYTES },
    })
    this.#directory = directory
    const now = options.now ?? Date.now
    this.#log = host.log
    this.#rates = new TokenBuckets({ maxKeys: MAX_REMEMBERED, now })
    const bounds = { max: MAX_REMEMBERED, ttlResolution: 0, perf: { now } }
    this.#seen = new LRUCache({ ...bounds, ttl: SEEN_TTL_MS })
    this.#misses = new LRUCache({ ...bounds, ttl: MISS_TTL_MS })
  }

  /** Asks one connected peer for the record of another, and verifies it. Undefined if the neighbour has none. @throws ProtocolError */
  async ask(neighbour: PeerId, peerId: PeerId, options: AskOptions = {}): Promise<Answered | undefined> {
    const id = randomBytes(QUERY_ID_BYTES)
    // a query that returns to this node is not forwarded
    this.#seen.set(id.toString('hex'), true)
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    return this.#ask(neighbour, { id, peerId, hops: options.hops ?? DEFAULT_HOPS, timeoutMs }, options.signal)
  }

  protected override async handleRequest(
    context: RequestContext,
    request: AddressQuery,
  ): Promise<MessageInitShape<typeof AddressAnswerSchema>> {
    if (!this.#rates.take(context.peerId.toString(), QUERIES_PER_PEER)) {
      return this.#refuse(context, `more than ${QUERIES_PER_PEER.burst} queries at once, then one per ${QUERIES_PER_PEER.refillMs} ms`)
    }
    const query = readQuery(request)
    const known = await this.#directory.recordOf(query.peerId)
    if (known != null) {
      return toAnswer(known, 1)
    }
    const queryId = Buffer.from(query.id).toString('hex')
    if (this.#seen.has(queryId)) {
      return this.#refuse(context, 'repeated query ID')
    }
    this.#seen.set(queryId, true)
    const missedWithHops = this.#misses.get(query.peerId.toString()) ?? 1
    const found = query.hops <= missedWithHops ? undefined : await this.#askOn(context, query)
    return found == null ? { status: AddressStatus.NOT_FOUND } : toAnswer(found, found.hops + 1)
  }

  #refuse({ peerId, callId }: RequestContext, reason: string): MessageInitShape<typeof AddressAnswerSchema> {
    this.#log.debug('an address query was refused', reason, { peer: peerId, protocol: this.id, call: callId })
    return { status: AddressStatus.REFUSED }
  }

  /** Forwards the query to neighbours other than the caller. Returns the newest of the answers that arrive with the first or soon after. */
  async #askOn(context: RequestContext, query: Query): Promise<Answered | undefined> {
    const timeoutMs = query.timeoutMs - HOP_RESERVE_MS
    const others = this.#directory
      .neighbours(query.peerId)
      .filter((peer) => !peer.equals(context.peerId) && !peer.equals(query.peerId))
      .slice(0, MAX_FORWARDS)
    if (timeoutMs <= 0 || others.length === 0) {
      return undefined
    }
    const enough = new AbortController()
    const signal = AbortSignal.any([context.signal, enough.signal])
    const first = Promise.withResolvers<void>()
    const found: Answered[] = []
    const asked = others.map(async (peer) => {
      const answer = await this.#ask(peer, { ...query, hops: query.hops - 1, timeoutMs }, signal)
      if (answer != null) {
        found.push(answer)
        first.resolve()
      }
    })
    const all = Promise.allSettled(asked)
    await Promise.race([all, first.promise.then(async () => delay(LATECOMERS_MS))])
    enough.abort()
    const newest = found.reduce<Answered | undefined>((a, b) => (a == null || b.seq > a.seq ? b : a), undefined)
    // a miss requires an answer from every neighbour: one that refused or timed out may know the peer
    if (newest == null && (await all).every(({ status }) => status === 'fulfilled')) {
      this.#misses.set(query.peerId.toString(), query.hops)
    }
    return newest
  }

  async #ask(neighbour: PeerId, query: Query, signal: AbortSignal | undefined): Promise<Answered | undefined> {
    const request = {
      queryId: query.id,
      peerId: query.peerId.toMultihash().bytes,
      hops: query.hops,
      deadlineMs: Math.floor(query.timeoutMs),
    }
    const answer = await this.callRemote(neighbour, request, { signal, timeoutMs: query.timeoutMs, connectedOnly: true })
    if (answer.status === AddressStatus.REFUSED) {
      throw new ProtocolError('LIMIT_EXCEEDED', `${neighbour.toString()} refused the query: too many queries`)
    }
    const seq = answer.status === AddressStatus.FOUND ? await this.#directory.sequenceOf(answer.signedPeerRecord, query.peerId) : undefined
    return seq == null ? undefined : { ...readAnswer(answer), seq }
  }
}

/** @throws Error for an invalid query */
function readQuery(request: AddressQuery): Query {
  if (request.queryId.byteLength !== QUERY_ID_BYTES || request.hops < 1) {
    throw new Error('malformed address query')
  }
  return {
    id: request.queryId,
    peerId: peerIdFromMultihash(Digest.decode(request.peerId)),
    hops: Math.min(request.hops, MAX_HOPS),
    timeoutMs: Math.min(request.deadlineMs, MAX_TIMEOUT_MS),
  }
}

function toAnswer(record: KnownRecord, hops: number): MessageInitShape<typeof AddressAnswerSchema> {
  return {
    status: AddressStatus.FOUND,
    signedPeerRecord: record.envelope,
    ageMs: BigInt(Math.max(0, Math.round(record.ageMs))),
    intervalMs: record.intervalMs,
    hops,
  }
}

function readAnswer(answer: AddressAnswer): KnownRecord & { hops: number } {
  const ageMs = Math.min(Number(answer.ageMs), Number.MAX_SAFE_INTEGER)
  return { envelope: answer.signedPeerRecord, ageMs, intervalMs: answer.intervalMs, hops: Math.min(answer.hops, MAX_HOPS) }
}
