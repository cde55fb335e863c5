import { randomBytes } from 'node:crypto'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { LookupEntry } from '@polkadot-api/metadata-builders'
import { base58btc } from 'multiformats/bases/base58'
import { UsageError } from '../../../primitives/errors.ts'
import type { PeerRole } from '../../registry.ts'
import { argumentsOf, encodeCall, fieldsOf, type RuntimeTypes } from './runtime-types.ts'

const PALLET = 'Network'
const BATCH = { pallet: 'Utility', call: 'batch_all' }
/** The prefix of an Ed25519 key's multihash: identity, 36 bytes, of a public key of that type, 32 bytes. */
const ED25519_MULTIHASH = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20]

/** The role of a node's peer whose address the node's owner may change. */
export type NodePeerRole = Exclude<PeerRole, 'overwatch'>

/** The calls that set such a peer of a node, with the same arguments. The first one that the runtime supports is used. */
const UPDATES: Record<NodePeerRole, readonly string[]> = {
  main: ['update_peer_info', 'update_node_peer_info'],
  bootnode: ['update_bootnode_peer_info', 'update_node_bootnode_peer_info'],
  client: ['update_client_peer_info', 'update_node_client_peer_info'],
}

export interface PeerUpdate {
  subnetId: number
  nodeId: number
  role: NodePeerRole
  peerId: PeerId
  multiaddr: Multiaddr
  /** The node keeps its peer ID. The chain refuses an update with the same ID, so one transaction switches to another ID and back. */
  samePeer: boolean
}

/** The call of a transaction. */
export interface ChainCall {
  bytes: Uint8Array
  /** For messages. */
  name: string
  /** Whether another call makes the same change. The temporary peer ID may differ. */
  isSame(other: Uint8Array): boolean
}

/** The call that sets the peer and address of a node. @throws UsageError if the runtime lacks the call, or takes other arguments */
export function peerUpdateCall(runtime: RuntimeTypes, update: PeerUpdate): ChainCall {
  const { call, isOptional } = updateOf(runtime, update.role)
  const to = (info: { peer_id: Uint8Array; multiaddr: Uint8Array | undefined } | undefined): Record<string, unknown> => ({
    subnet_id: update.subnetId,
    subnet_node_id: update.nodeId,
    new_peer_info: info,
  })
  const back = to({ peer_id: Buffer.from(update.peerId.toString()), multiaddr: update.multiaddr.bytes })
  if (!update.samePeer) {
    const bytes = encodeCall(runtime, PALLET, call, back)
    return { bytes, name: `${PALLET}.${call}`, isSame: (other) => Buffer.from(bytes).equals(other) }
  }
  checkBatch(runtime)
  // a main peer is mandatory; the other roles may be empty for a moment
  const away = isOptional && update.role !== 'main' ? undefined : Buffer.from(nobody())
  const calls = [to(away == null ? undefined : { peer_id: away, multiaddr: undefined }), back]
  const bytes = encodeCall(runtime, BATCH.pallet, BATCH.call, {
    calls: calls.map((value) => ({ type: PALLET, value: { type: call, value } })),
  })
  return {
    bytes,
    name: `${BATCH.pallet}.${BATCH.call} of two ${PALLET}.${call}, away and back: the chain accepts no new address under the same peer ID`,
    isSame: (other) => isSameBut(bytes, other, away),
  }
}

/** The runtime's call for a peer of this role. @throws UsageError if the runtime lacks the call, or takes other arguments */
export function updateOf(runtime: RuntimeTypes, role: NodePeerRole): { call: string; isOptional: boolean } {
  const names = UPDATES[role]
  const found = names.map((call) => ({ call, args: argumentsOf(runtime, PALLET, call) })).find(({ args }) => args != null)
  if (found?.args == null) {
    throw new UsageError(
      `${runtime.name} has no call ${names.map((name) => `${PALLET}.${name}`).join(' or ')}: the address of a node's ${role} peer cannot be changed there`,
      { hint: missingHint(runtime, role) },
    )
  }
  const info = found.args['new_peer_info']
  const isOptional = info?.type === 'option'
  const inner = isOptional ? info.value : info
  const fits =
    hasFields(found.args, { subnet_id: isU32, subnet_node_id: isU32, new_peer_info: () => true }) &&
    inner?.type === 'struct' &&
    hasFields(inner.value, { peer_id: isBytes, multiaddr: (type) => type.type === 'option' && isBytes(type.value) })
  if (!fits) {
    throw unknownCall(runtime, `${PALLET}.${found.call}`, found.args)
  }
  return { call: found.call, isOptional }
}

/** An alternative for the user, limited to the features of the runtime. */
function missingHint(runtime: RuntimeTypes, role: NodePeerRole): string {
  const elsewhere = 'peers find it by the DHT, gossip and bootstraps, which need no chain'
  if (argumentsOf(runtime, PALLET, 'update_bootnode') == null) {
    return elsewhere
  }
  return role === 'bootnode'
    ? `${PALLET}.update_bootnode may do it, with the chain's own tools: this program does not know the form of its address; ${elsewhere}`
    : `that runtime keeps no address of a node's ${role} peer; ${elsewhere}`
}

/** A random peer ID that belongs to no peer and is still unused. */
function nobody(): string {
  return base58btc.baseEncode(Uint8Array.from([...ED25519_MULTIHASH, ...randomBytes(32)]))
}

/** Compares all bytes except the range of `any`. */
function isSameBut(own: Uint8Array, other: Uint8Array, any: Uint8Array | undefined): boolean {
  const [a, b] = [Buffer.from(own), Buffer.from(other)]
  const start = any == null ? a.byteLength : a.indexOf(any)
  const end = any == null ? a.byteLength : start + any.byteLength
  return a.byteLength === b.byteLength && a.subarray(0, start).equals(b.subarray(0, start)) && a.subarray(end).equals(b.subarray(end))
}

/** @throws UsageError */
function checkBatch(runtime: RuntimeTypes): void {
  const args = argumentsOf(runtime, BATCH.pallet, BATCH.call)
  const isCalls = (type: LookupEntry): boolean => type.type === 'sequence' && type.value.id === runtime.types.call
  if (args == null || !hasFields(args, { calls: isCalls })) {
    throw unknownCall(runtime, `${BATCH.pallet}.${BATCH.call}`, args)
  }
}

/** Compares names and types of all fields, because a field with another name or type would be dropped or misread. */
function hasFields(fields: Record<string, LookupEntry>, wanted: Record<string, (type: LookupEntry) => boolean>): boolean {
  const names = Object.keys(wanted)
  return Object.keys(fields).length === names.length && names.every((name) => fields[name] != null && wanted[name]?.(fields[name]) === true)
}

function isU32(type: LookupEntry): boolean {
  return type.type === 'primitive' && type.value === 'u32'
}

function isBytes(type: LookupEntry): boolean {
  return type.type === 'sequence' && type.value.type === 'primitive' && type.value.value === 'u8'
}

function unknownCall(runtime: RuntimeTypes, name: string, args: Record<string, LookupEntry> | undefined): UsageError {
  const found =
    args == null
      ? `${runtime.name} has no ${name} that this program knows`
      : `the chain's ${name} takes (${fieldsOf(args)}) on ${runtime.name}`
  return new UsageError(`${found}: the call is not made, because it might do something else`, {
    hint: `update subnet-cli, or make the change with the chain's own tools`,
  })
}
