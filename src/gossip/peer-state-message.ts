import { createHash } from 'node:crypto'
import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import type { PeerId, PublicKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import { addressesOf, readNamed } from '../primitives/address.ts'
import { kindOf } from '../primitives/address-kind.ts'
import type { PeerState } from './book-entry.ts'
import { canonicalJson, isObject, type Json, type JsonObject } from './canonical-json.ts'
import { ignore, reject, type Verdict } from './verdict.ts'

/**
 * The maximum size of a message. Only the parents of a state grow with the network, 74 bytes each: at worst the newest states of all nodes.
 * The bound leaves room for 1,700 nodes; most states have one parent, and 1.5 kB.
 */
const MAX_MESSAGE_BYTES = 128 * 1024
/** Bound on the cost of JSON of that size: a state has 70 parts, plus one per parent. */
const MAX_PARTS = 4_096
const PART_MARKS = new Set(Buffer.from('[{,:'))
const HEADER_KEYS = 'author,body_hash,body_size,created_at_ms,metadata,namespace,node_id,parent_ids,public_key,schema_id,signature,version'
const VERSION = 1
const HEX = /^(?:[0-9a-f]{2})*$/
/** Python reads upper-case hex, and spaces between the bytes. */
const LOOSE_HEX = /^[\da-f\s]*$/i
/** JSON has no such numbers, but Python reads them. */
const NO_NUMBERS = /NaN|Infinity/
/** Python sorts text by code points. The order is the same here if all characters are ASCII. */
const ASCII = /^[\0-\x7f]*$/
/**
 * The namespace configured in the template's nodes. Their validator refuses any other, so such a message is not forwarded. A fork may use
 * another one, so no peer is blamed.
 */
const NAMESPACE = 'general-dag'
const SCHEMA = 'peer-state'
const STATES = new Map<Json | undefined, PeerState>([
  [0, 'offline'],
  [1, 'joining'],
  [2, 'online'],
])

/** The content of a message on the topic `peer_state`; its author is the signer of the pubsub message. No expensive check has been done. */
export type PeerStateMessage =
  | { kind: 'announcement'; createdAtMs: number }
  | {
      kind: 'state'
      createdAtMs: number
      state: PeerState
      /** Empty if the author announced no address that can be dialled. */
      multiaddrs: Multiaddr[]
      /** Checks hashes and signature; undefined if both are valid. */
      check(): Promise<Verdict | undefined>
    }

/**
 * Parses a message. The result is `reject` only if the template's own validator refuses the message too. The template's nodes forward
 * everything that they consider valid, and would otherwise be blamed. Other faults result in `ignore`: a bound is exceeded, Python would
 * serialize the message differently, a later version or a fork may have sent it, or the template does not read its form.
 * @param from the signer of the pubsub message
 */
export function readPeerState(data: Uint8Array, from: PeerId): PeerStateMessage | Verdict {
  if (data.byteLength > MAX_MESSAGE_BYTES) {
    return ignore(`over ${MAX_MESSAGE_BYTES} bytes`)
  }
  if (!hasFewParts(data)) {
    return ignore(`over ${MAX_PARTS} parts`)
  }
  const text = Buffer.from(data).toString('latin1')
  const message = parse(text)
  if ('result' in message) {
    return message
  }
  const { kind, message_id: id, peer_id: peerId, namespace, created_at_ms: createdAtMs } = message.value
  if (peerId !== from.toString()) {
    return reject('its author is not its signer')
  }
  if (namespace !== NAMESPACE || typeof id !== 'string' || !isTime(createdAtMs)) {
    return ignore('of an unknown form, or of another namespace')
  }
  if (kind === 'announcement') {
    const { head_ids: heads, node_count: count } = message.value
    return isTexts(heads) && isCount(count) ? { kind, createdAtMs } : ignore('of an unknown form')
  }
  return kind === 'node_gossip' ? readNode(message.value, from) : ignore('of an unknown kind')
}

function hasFewParts(data: Uint8Array): boolean {
  let parts = 0
  for (const byte of data) {
    if (PART_MARKS.has(byte)) {
      parts++
    }
  }
  return parts <= MAX_PARTS
}

/**
 * Text that differs from this node's own serialization is ignored, because its signed or hashed form would be unknown. Floats in Python's
 * notation pass.
 */
function parse(text: string): { value: JsonObject } | Verdict {
  const value = parseJson(text)
  if (value === undefined) {
    return NO_NUMBERS.test(text) ? ignore('NaN or Infinity, which only Python writes as JSON') : reject('not JSON')
  }
  if (!isObject(value)) {
    return reject('not a JSON object')
  }
  return isCanonical(value, text) ? { value } : ignore('not in canonical form, or nested too deep')
}

function parseJson(text: string): Json | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isCanonical(value: Json, text: string): boolean {
  try {
    return canonicalJson(value) === text
  } catch {
    return false
  }
}

function readNode(message: JsonObject, from: PeerId): PeerStateMessage | Verdict {
  const { node } = message
  const header = isObject(node) ? node.header : undefined
  const body = isObject(node) ? node.body : undefined
  if (!isObject(header) || !isObject(body) || !isObject(body.payload) || !isKnown(header)) {
    return ignore('of an unknown form')
  }
  const { payload } = body
  if (header.author !== from.toString()) {
    return reject('its author is not its signer')
  }
  if (header.namespace !== NAMESPACE || body.node_id !== header.node_id || !isAscending(header.parent_ids)) {
    return reject('its parts do not belong together')
  }
  const named = header.metadata.multiaddr
  if (named !== payload.multiaddr) {
    return ignore('two addresses')
  }
  const multiaddrs = readAddress(named, from)
  return multiaddrs == null
    ? ignore('an address of another peer')
    : {
        kind: 'state',
        createdAtMs: header.created_at_ms,
        state: STATES.get(payload.state) ?? 'online',
        multiaddrs,
        check: () => check(header, payload, from),
      }
}

interface Header extends JsonObject {
  created_at_ms: number
  metadata: JsonObject
  parent_ids: string[]
  public_key: string
  signature: string
}

function isKnown(header: JsonObject): header is Header {
  const {
    body_size: size,
    created_at_ms: createdAtMs,
    parent_ids: parents,
    public_key: key,
    schema_id: schema,
    signature,
    version,
  } = header
  return (
    Object.keys(header).sort().join() === HEADER_KEYS &&
    version === VERSION &&
    isTime(createdAtMs) &&
    isCount(size) &&
    isTexts(parents) &&
    parents.every((parent) => ASCII.test(parent)) &&
    schema === SCHEMA &&
    isObject(header.metadata) &&
    typeof key === 'string' &&
    typeof signature === 'string'
  )
}

/** The one address as a list, empty if it cannot be dialled. @returns undefined for an address of another peer */
function readAddress(named: Json | undefined, author: PeerId): Multiaddr[] | undefined {
  if (typeof named !== 'string') {
    return []
  }
  const address = readNamed(named)
  if (address == null || kindOf(address) === 'never') {
    return []
  }
  const own = addressesOf(author, [address], 1)
  return own.length === 0 ? undefined : own
}

async function check(header: Header, payload: JsonObject, author: PeerId): Promise<Verdict | undefined> {
  const body = canonicalJson(payload)
  if (header.body_hash !== digest(body) || header.body_size !== body.length) {
    return reject('its body has another hash or size')
  }
  const { node_id: id, signature, ...unsigned } = header
  const signed = canonicalJson(unsigned)
  if (id !== digest(signed)) {
    return reject('its header has another hash')
  }
  const hex = [signature, header.public_key]
  if (!hex.every((text) => HEX.test(text))) {
    return hex.every((text) => LOOSE_HEX.test(text))
      ? ignore('hex in upper case, or with spaces')
      : reject('its key or signature is not hex')
  }
  const key = readKey(Buffer.from(header.public_key, 'hex'))
  if (key == null) {
    return ignore('a key of an unsupported type')
  }
  const isAuthors = peerIdFromPublicKey(key).equals(author)
  const isRight = isAuthors && (await verify(key, Buffer.from(signed), Buffer.from(signature, 'hex')))
  return isRight ? undefined : reject(isAuthors ? 'a wrong signature' : 'the key of another peer')
}

function readKey(bytes: Uint8Array): PublicKey | undefined {
  try {
    return publicKeyFromProtobuf(bytes)
  } catch {
    return undefined
  }
}

async function verify(key: PublicKey, data: Uint8Array, signature: Uint8Array): Promise<boolean> {
  try {
    return await key.verify(data, signature)
  } catch {
    return false
  }
}

function digest(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}

function isTime(value: Json | undefined): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function isCount(value: Json | undefined): boolean {
  return Number.isSafeInteger(value)
}

function isTexts(value: Json | undefined): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function isAscending(texts: string[]): boolean {
  return texts.every((text, index) => index === 0 || (texts[index - 1] ?? '') < text)
}
