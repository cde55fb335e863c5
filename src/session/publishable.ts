import type { Multiaddr } from '@multiformats/multiaddr'
import { isRelayed } from '../primitives/address-kind.ts'

/** One's own addresses, by whether a chain takes them: none takes an address over a relay, which is not the peer's to keep. */
export function publishable(own: Multiaddr[]): { taken: Multiaddr[]; left: Multiaddr[] } {
  return { taken: own.filter((address) => !isRelayed(address)), left: own.filter(isRelayed) }
}

/** What is said of those that no chain takes. */
export function leftOut(left: Multiaddr[]): string {
  return `left out: ${left.join(', ')}: the chain does not take the address of a relay`
}
