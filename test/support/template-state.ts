import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { TestPeer } from './keys.ts'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
type JsonObject = { [key: string]: Json }

type Author = Pick<TestPeer, 'peerId' | 'privateKey'>

/** What a node of the template tells the topic `peer_state`, as far as it is JSON. */
export interface StateMessage extends JsonObject {
  node: { header: JsonObject; body: { node_id: string; payload: JsonObject } }
}

export interface StateInit {
  createdAtMs: number
  /** @default /ip4/10.0.0.1/tcp/1000 */
  multiaddr?: string
  /** 0 offline, 1 joining, 2 online. @default 2 */
  state?: Json
  parents?: string[]
  namespace?: string
  /** More in payload and metadata, or something else. */
  payload?: JsonObject
  /** In the metadata alone. */
  metadata?: JsonObject
  /** In the header, before it is signed. */
  header?: JsonObject
  /** Whose key signs the header, and stands in it. @default the author's */
  signer?: Author
}

/** A message that was recorded in a real network. */
export interface Recorded {
  topic: string
  /** Who signed it. */
  from: string
  data: JsonObject & { kind: string; node?: StateMessage['node'] }
}

/** json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True) of Python, for text, lists, mappings and whole numbers. */
export function dumps(value: Json): string {
  if (Array.isArray(value)) {
    return `[${value.map(dumps).join(',')}]`
  }
  if (value != null && typeof value === 'object') {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${members.map(([key, member]) => `${dumps(key)}:${dumps(member)}`).join(',')}}`
  }
  return JSON.stringify(value).replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

export function sha256(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}

/** A message as a node of the template signs it. */
export async function stateOf(author: Author, init: StateInit): Promise<StateMessage> {
  const { createdAtMs, namespace = 'general-dag', parents = [], signer = author, state = 2, multiaddr = '/ip4/10.0.0.1/tcp/1000' } = init
  const payload: JsonObject = { epoch: 7, multiaddr, role: 0, state, subnet_id: 1, subnet_node_id: 1, uid: '00ff', ...init.payload }
  const unsigned: JsonObject = {
    author: author.peerId.toString(),
    body_hash: sha256(dumps(payload)),
    body_size: dumps(payload).length,
    created_at_ms: createdAtMs,
    metadata: { ...payload, ...init.metadata },
    namespace,
    parent_ids: parents,
    public_key: Buffer.from(publicKeyToProtobuf(signer.privateKey.publicKey)).toString('hex'),
    schema_id: 'peer-state',
    version: 1,
    ...init.header,
  }
  const signature = Buffer.from(await signer.privateKey.sign(Buffer.from(dumps(unsigned)))).toString('hex')
  const nodeId = sha256(dumps(unsigned))
  return {
    created_at_ms: createdAtMs,
    kind: 'node_gossip',
    message_id: `node-gossip:${author.peerId.toString()}:${nodeId}:${createdAtMs}`,
    namespace,
    peer_id: author.peerId.toString(),
    node: { header: { ...unsigned, node_id: nodeId, signature }, body: { node_id: nodeId, payload } },
  }
}

/** What a node of the template tells of its graph. */
export function announcementOf(author: Author, createdAtMs: number): JsonObject {
  return {
    created_at_ms: createdAtMs,
    head_ids: [sha256('a head')],
    kind: 'announcement',
    message_id: `announcement:${createdAtMs}`,
    namespace: 'general-dag',
    node_count: 9,
    peer_id: author.peerId.toString(),
  }
}

/** The bytes of a message. */
export function encoded(message: Json): Buffer {
  return Buffer.from(dumps(message))
}

export function recordedStates(): Recorded[] {
  return readFileSync(new URL('../fixtures/template/peer-state.ndjson', import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}
