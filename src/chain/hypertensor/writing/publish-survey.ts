import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { describeError } from '../../../primitives/errors.ts'
import { ChainError } from '../../registry.ts'
import type { HypertensorChain, Reading } from '../hypertensor-chain.ts'
import type { Layout } from '../layout.ts'
import { type AccountState, accountKey, readAccount } from './account-state.ts'
import { findUses, idIn, keysIn, type NodePlace, nodeKeys, placeKeys, placeOf, valueIn } from './node-place.ts'
import { nextNonceOf } from './signing-facts.ts'
import { type WaitingTransaction, waitingOf } from './waiting.ts'

const ADDRESS_MAP = 'MultiaddrSubnetNodeId'
const OWNER_MAP = 'HotkeyOwner'

/** The requested change. */
export interface Wanted {
  subnetId: number
  peerId: PeerId
  multiaddr: Multiaddr
  /** The signing account. */
  account: string
  /** The node that should get this peer; undefined for the node that has the peer. */
  nodeId: number | undefined
}

/** The account that may change a node. `coldkey` is undefined if the chain has none; `unknown` is the reason if it cannot be read. */
export interface Owner {
  coldkey: string | undefined
  unknown: string | undefined
}

/** Everything that decides whether the chain accepts a change, read before anything is signed. */
export interface Survey {
  layout: Layout
  block: number
  place: NodePlace
  owner: Owner
  account: AccountState
  /** The nonce of the account's next transaction. */
  nonce: number
  /** Transactions of the account that are not in a block yet. If the pool cannot be read, only their nonces. */
  waiting: Array<WaitingTransaction | { nonce: number; hash?: undefined }>
  /** Other uses of the peer ID on the chain, in words. */
  others: string[]
  /** The node that uses the address. */
  addressNode: number | undefined
}

/**
 * Reads the peer's node, its fields and its owner: in one round trip if the place is known, in three otherwise.
 * @throws UsageError if the peer has no place; ChainError; the signal's reason
 */
export async function surveyOf(chain: HypertensorChain, wanted: Wanted, signal: AbortSignal, known?: NodePlace): Promise<Survey> {
  const { subnetId, peerId, multiaddr, account } = wanted
  const { runtime } = await chain.layout(signal)
  const named = known?.nodeId ?? wanted.nodeId
  const [first, next, waiting] = await Promise.all([
    chain.read(
      (layout) => [
        ...placeKeys(layout, subnetId, peerId),
        ...keysIn(layout, ADDRESS_MAP, subnetId, multiaddr.bytes),
        accountKey(layout.runtime, account),
        ...(named == null ? [] : nodeKeys(layout, subnetId, named)),
        ...ownerKeys(layout, known?.hotkey),
      ],
      signal,
    ),
    nextNonceOf(chain.rpc, account, signal),
    waitingOf(chain.rpc, runtime, account, signal),
  ])
  const uses = findUses(first, subnetId, peerId, wanted.nodeId)
  const read = async (before: Reading, keysOf: (layout: Layout) => string[]): Promise<Reading> =>
    keysOf(before.layout).every((key) => before.values.has(key)) ? before : chain.read(keysOf, signal)
  const nodes = await read(first, (layout) => nodeKeys(layout, subnetId, uses.nodeId))
  const place = placeOf(nodes, subnetId, uses)
  const owners = await read(nodes, (layout) => ownerKeys(layout, place.hotkey))
  const { layout, block } = owners
  const state = accountIn(chain, first, account)
  return {
    layout,
    block,
    place,
    owner: ownerOf(owners, place),
    account: state,
    nonce: Math.max(state.nonce, next ?? state.nonce + (waiting ?? []).length),
    waiting: stillWaiting(state.nonce, next, waiting),
    others: uses.others,
    addressNode: idIn(first, ADDRESS_MAP, subnetId, multiaddr.bytes),
  }
}

/** Transactions outside blocks. If the pool cannot be read, the nonces counted by the endpoint. */
function stillWaiting(nonce: number, next: number | undefined, waiting: WaitingTransaction[] | undefined): Survey['waiting'] {
  return (
    waiting?.filter((each) => each.nonce >= nonce) ??
    Array.from({ length: Math.max(0, (next ?? nonce) - nonce) }, (_, at) => ({ nonce: nonce + at }))
  )
}

function ownerKeys(layout: Layout, hotkey: string | undefined): string[] {
  return hotkey == null ? [] : keysIn(layout, OWNER_MAP, hotkey)
}

function ownerOf(reading: Reading, { hotkey }: NodePlace): Owner {
  const { name } = reading.layout
  if (hotkey == null) {
    return { coldkey: undefined, unknown: `${name} has no hotkey in a node` }
  }
  if (reading.layout.map(OWNER_MAP) == null) {
    return { coldkey: undefined, unknown: `${name} has no Network.${OWNER_MAP}` }
  }
  const coldkey = valueIn(reading, OWNER_MAP, hotkey)
  return { coldkey: typeof coldkey === 'string' ? coldkey : undefined, unknown: undefined }
}

/** @throws ChainError */
function accountIn(chain: HypertensorChain, { layout, values }: Reading, account: string): AccountState {
  try {
    return readAccount(layout.runtime, values.get(accountKey(layout.runtime, account)) ?? null)
  } catch (cause) {
    throw new ChainError(`chain ${chain.rpc.endpoint}: System.Account: ${describeError(cause)}`, { cause })
  }
}
