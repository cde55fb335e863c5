import type { ProtocolHost } from '../api/host.ts'
import { ProtocolBase } from '../protocol-base.ts'
import type { RequestContext } from '../serve/incoming-request.ts'

/** The protocol ID of Hypertensor's Python template. */
export const DAG_SYNC_PROTOCOL_ID = '/subnet/merkle_dag_sync_protocol/1.0.0'

/** A peer lists all heads of its DAG, 74 bytes each. */
const MAX_FRAME_BYTES = 1024 * 1024
/** Limits for nodes that send one request at a time. A slow one keeps its slot for 2 s, then has to send 1 MiB at 512 KiB/s. */
const PACE = { maxRequestsPerPeer: 8, stallTimeoutMs: 2_000, minBytesPerSecond: 512 * 1024 }

/** The used fields of a request. The response repeats them. */
interface DagSyncRequest {
  kind: 'inventory_request' | 'fetch_request'
  messageId: string
  namespace: string
  /** DAG nodes that the peer requests. Empty for an inventory. */
  nodeIds: string[]
}

/**
 * `/subnet/merkle_dag_sync_protocol/1.0.0`, answered like a peer with an empty DAG. At its start, a template node asks all its peers
 * repeatedly until each has answered, and does nothing else before. One JSON object in each direction, in a frame of at most 1 MiB.
 */
export class DagSyncProtocol extends ProtocolBase<never, object, DagSyncRequest, never> {
  readonly #self: string
  readonly #now: () => number

  /** @param self the peer ID of this node */
  constructor(host: ProtocolHost, self: string, now: () => number = Date.now) {
    super(host, {
      id: DAG_SYNC_PROTOCOL_ID,
      request: { encode: never, decode: readRequest },
      response: { encode: (answer) => Buffer.from(JSON.stringify(answer)), decode: never },
      limits: { ...PACE, maxFrameBytes: MAX_FRAME_BYTES },
      // only template nodes send requests
      pipelined: false,
    })
    this.#self = self
    this.#now = now
  }

  protected override async handleRequest(_context: RequestContext, request: DagSyncRequest): Promise<object> {
    const { kind, messageId, namespace, nodeIds } = request
    const now = this.#now()
    const head = { created_at_ms: now, message_id: messageId, namespace, peer_id: this.#self }
    if (kind === 'fetch_request') {
      return { ...head, kind: 'fetch_response', nodes: [], not_found: nodeIds }
    }
    const summary = { generated_at_ms: now, head_ids: [], namespace, node_count: 0, orphan_count: 0 }
    return { ...head, kind: 'inventory_response', summary }
  }
}

/** @throws Error for an invalid request */
function readRequest(bytes: Uint8Array): DagSyncRequest {
  const value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString())
  const { kind, message_id: messageId, namespace, node_ids: nodeIds } = (value ?? {}) as Record<string, unknown>
  if (kind !== 'inventory_request' && kind !== 'fetch_request') {
    throw new Error('not an inventory_request or a fetch_request')
  }
  if (typeof messageId !== 'string' || typeof namespace !== 'string') {
    throw new Error('a request without message_id or namespace')
  }
  if (kind === 'inventory_request') {
    return { kind, messageId, namespace, nodeIds: [] }
  }
  if (!Array.isArray(nodeIds) || !nodeIds.every((id) => typeof id === 'string')) {
    throw new Error('a fetch_request without node_ids')
  }
  return { kind, messageId, namespace, nodeIds }
}

/** This node never sends requests, because it keeps no DAG. */
function never(): never {
  throw new Error('this node does not ask for a DAG')
}
