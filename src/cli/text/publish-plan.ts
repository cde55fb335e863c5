import type { PublishPlan } from '../../chain/registry.ts'
import { printable } from '../../primitives/printable.ts'

/** Describes a chain transaction before it is signed: the change, the old and new values, the signer, and the fee. */
export function describePlan(plan: PublishPlan): string {
  const { from, to, account, nonce, call } = plan
  const rows = [
    ['chain', `${plan.endpoint}, subnet ${plan.subnetId}, node ${plan.nodeId}`],
    ['peer', from.peerId === to.peerId ? to.peerId : `${from.peerId} becomes ${to.peerId}`],
    ['from', from.multiaddr ?? 'no address'],
    ['to', to.multiaddr],
    ['account', `${account}, nonce ${nonce}`],
    ['call', call],
    ['fee', describeFee(plan)],
  ]
  const notes = [
    ...(plan.given == null ? [] : [`${plan.given} is written differently on this chain`]),
    ...plan.refused.map(({ multiaddr, reason }) => `left out: ${multiaddr}: ${reason}`),
    ...plan.left.map((multiaddr) => `left out: ${multiaddr}: a node has one address on this chain, the first that the chain accepts`),
    ...(plan.unchecked == null ? [] : [`not known: ${plan.unchecked}`]),
  ]
  // values on the chain may come from a stranger
  return [...rows.map(([name = '', value]) => `${name.padEnd(8)} ${value}`), ...notes].map(printable).join('\n')
}

function describeFee({ feePlanck, token }: Pick<PublishPlan, 'feePlanck' | 'token'>): string {
  if (feePlanck == null) {
    return 'not known: the endpoint does not report it'
  }
  return token == null ? `about ${feePlanck} planck` : `about ${amountOf(feePlanck, token)} (${feePlanck} planck)`
}

/** `0.00125 TENSOR` */
export function amountOf(planck: bigint, { symbol, decimals }: NonNullable<PublishPlan['token']>): string {
  const digits = planck.toString().padStart(decimals + 1, '0')
  const [whole, rest] = [digits.slice(0, digits.length - decimals), digits.slice(digits.length - decimals).replace(/0+$/, '')]
  return `${whole}${rest === '' ? '' : `.${rest}`} ${symbol}`
}
