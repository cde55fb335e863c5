import { UsageError } from '../../../primitives/errors.ts'
import type { ChainCall } from './peer-update.ts'
import type { Survey, Wanted } from './publish-survey.ts'
import type { WaitingTransaction } from './waiting.ts'

// Checks for refusals that would cost a fee on the chain. Each check throws a UsageError before anything is sent.

/** Only the coldkey of a node may change the node; the hotkey may not. */
export function checkOwner({ owner, place }: Survey, { account, subnetId }: Wanted): void {
  const { coldkey, unknown } = owner
  const node = `node ${place.nodeId} of subnet ${subnetId}`
  if (unknown != null || isSameAccount(coldkey, account)) {
    return
  }
  if (coldkey == null) {
    throw new UsageError(`the chain knows no owner of ${node}, and lets nobody change it: nothing was sent`)
  }
  const what = isSameAccount(place.hotkey, account)
    ? `${account} is the hotkey of ${node}, which may not change the node: only its coldkey, ${coldkey}, may`
    : `${account} is not the owner of ${node}: its coldkey is ${coldkey}, and only that may change the node`
  throw new UsageError(`${what}; nothing was sent`, { hint: `--owner-key FILE names the file with the key of ${coldkey}` })
}

/** Why the owner could not be checked; undefined if the owner is known. */
export function uncheckedOwner({ owner, place }: Survey, { account }: Wanted): string | undefined {
  return owner.unknown == null
    ? undefined
    : `cannot check that ${account} may change node ${place.nodeId} (${owner.unknown}): if it may not, the chain refuses the change, and the fee is lost`
}

/** A peer ID and an address may each be used only once in a subnet. */
export function checkUses({ others, addressNode, place }: Survey, { peerId, multiaddr, subnetId }: Wanted): void {
  if (others.length > 0) {
    throw new UsageError(
      `${peerId.toString()} is also ${others.join(' and ')} in subnet ${subnetId}: the chain would refuse it (PeerIdExist); nothing was sent`,
      { hint: 'end its other use first' },
    )
  }
  if (addressNode != null) {
    const whose = addressNode === place.nodeId ? `another peer of the same node, ${addressNode}` : `node ${addressNode}`
    throw new UsageError(
      `${multiaddr.toString()} is already the address of ${whose}: the chain would refuse it (MultiaddrExist); nothing was sent`,
      { hint: 'publish another address, or change the one of that node first' },
    )
  }
}

/**
 * A waiting transaction that makes the same change; undefined without waiting transactions.
 * @throws UsageError if a waiting transaction makes another change
 */
export function findSame({ waiting }: Survey, { account }: Wanted, call: ChainCall): WaitingTransaction | undefined {
  const last = waiting.at(-1)
  if (last == null) {
    return undefined
  }
  if (last.hash != null && call.isSame(last.call)) {
    return last
  }
  const one = waiting.find(({ hash }) => hash != null)
  const which = one?.hash == null ? '' : `, ${one.hash},`
  const nonces = waiting.map(({ nonce }) => nonce).join(', ')
  throw new UsageError(`another transaction of ${account}${which} waits for its block (nonce ${nonces}): nothing was sent`, {
    hint: 'run the command again once it is in a block; if it stays out, other tools can replace it by one with the same nonce and a higher tip',
  })
}

/** The account must be able to pay the fee. */
export function checkBalance({ account: { spendable } }: Survey, { account }: Wanted, feePlanck: bigint | undefined): void {
  const needed = feePlanck ?? 1n
  if (spendable == null || spendable >= needed) {
    return
  }
  const fee = feePlanck == null ? '' : `, and the fee is about ${feePlanck} planck`
  throw new UsageError(`the balance of ${account} does not cover the fee: it can spend ${spendable} planck${fee}; nothing was sent`, {
    hint: `add ${needed - spendable} planck; frozen funds and the existential deposit cannot be spent`,
  })
}

function isSameAccount(one: string | undefined, other: string): boolean {
  return one?.toLowerCase() === other.toLowerCase()
}
