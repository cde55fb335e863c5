import type { Multiaddr } from '@multiformats/multiaddr'
import { isQuic, isRelayed } from '../primitives/address-kind.ts'

/** One's own addresses, by whether a chain takes them: none takes one over a relay, which is not the peer's to keep, nor one over QUIC. */
export function publishable(own: Multiaddr[]): { taken: Multiaddr[]; left: Multiaddr[] } {
  const isLeft = (address: Multiaddr): boolean => isRelayed(address) || isQuic(address)
  return { taken: own.filter((address) => !isLeft(address)), left: own.filter(isLeft) }
}

/** What is said of those that no chain takes. */
export function leftOut(left: Multiaddr[]): string {
  const relayed = left.filter(isRelayed)
  const others = left.filter((address) => !isRelayed(address))
  return [
    ...(relayed.length > 0 ? [`left out: ${relayed.join(', ')}: the chain does not take the address of a relay`] : []),
    ...(others.length > 0 ? [`left out: ${others.join(', ')}: the chain takes no address over QUIC`] : []),
  ].join('; ')
}
