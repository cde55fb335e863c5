import { randomBytes } from 'node:crypto'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { LookupEntry } from '@polkadot-api/metadata-builders'
import { base58btc } from 'multiformats/bases/base58'
import { UsageError } from '../../../primitives/errors.ts'
import { argumentsOf, encodeCall, fieldsOf, type RuntimeTypes } from './runtime-types.ts'

const PALLET = 'Network'
const UPDATE = 'update_peer_info'
const BATCH = { pallet: 'Utility', call: 'batch_all' }
/** The multihash of an Ed25519 key: identity, 36 bytes, of a public key of that type, 32 bytes. */
const ED25519_MULTIHASH = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20]

export interface PeerUpdate {
  subnetId: number
  nodeId: number
  peerId: PeerId
  multiaddr: Multiaddr
  /** The chain takes no update under the peer ID that the node has: it goes away from it and comes back, in one transaction. */
  samePeer: boolean
}

/** What a transaction calls. */
export interface ChainCall {
  bytes: Uint8Array
  /** For people. */
  name: string
}

/** The call that gives a node its peer and address. @throws UsageError where the chain's call is not the one that is known here */
export function peerUpdateCall(runtime: RuntimeTypes, update: PeerUpdate): ChainCall {
  checkUpdate(runtime)
  const to = (peerId: string, multiaddr: Multiaddr | undefined): Record<string, unknown> => ({
    subnet_id: update.subnetId,
    subnet_node_id: update.nodeId,
    new_peer_info: { peer_id: Buffer.from(peerId), multiaddr: multiaddr?.bytes },
  })
  const back = to(update.peerId.toString(), update.multiaddr)
  if (!update.samePeer) {
    return { bytes: encodeCall(runtime, PALLET, UPDATE, back), name: `${PALLET}.${UPDATE}` }
  }
  checkBatch(runtime)
  const calls = [to(nobody(), undefined), back].map((value) => ({ type: PALLET, value: { type: UPDATE, value } }))
  return {
    bytes: encodeCall(runtime, BATCH.pallet, BATCH.call, { calls }),
    name: `${BATCH.pallet}.${BATCH.call} of two ${PALLET}.${UPDATE}, away and back: the chain takes none under the same peer ID`,
  }
}

/** A peer ID that is nobody's, and that nobody can have taken before. */
function nobody(): string {
  return base58btc.baseEncode(Uint8Array.from([...ED25519_MULTIHASH, ...randomBytes(32)]))
}

/** Field by field: one that has another name or type would be left out, or become something else. @throws UsageError */
function checkUpdate(runtime: RuntimeTypes): void {
  const args = argumentsOf(runtime, PALLET, UPDATE)
  const info = args?.['new_peer_info']
  const inner = info?.type === 'option' ? info.value : info
  const fits =
    args != null &&
    hasFields(args, { subnet_id: isU32, subnet_node_id: isU32, new_peer_info: () => true }) &&
    inner?.type === 'struct' &&
    hasFields(inner.value, { peer_id: isBytes, multiaddr: (type) => type.type === 'option' && isBytes(type.value) })
  if (!fits) {
    throw unknownCall(`${PALLET}.${UPDATE}`, args)
  }
}

/** @throws UsageError */
function checkBatch(runtime: RuntimeTypes): void {
  const args = argumentsOf(runtime, BATCH.pallet, BATCH.call)
  const isCalls = (type: LookupEntry): boolean => type.type === 'sequence' && type.value.id === runtime.types.call
  if (args == null || !hasFields(args, { calls: isCalls })) {
    throw unknownCall(`${BATCH.pallet}.${BATCH.call}`, args)
  }
}

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

function unknownCall(name: string, args: Record<string, LookupEntry> | undefined): UsageError {
  const found = args == null ? `the chain has no ${name} that is known here` : `the chain's ${name} takes (${fieldsOf(args)})`
  return new UsageError(`${found}: it is not called, as it might do something else`, {
    hint: `a newer subnet-cli may know it; else make the change with the chain's own tools`,
  })
}
