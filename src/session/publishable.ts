import type { Multiaddr } from '@multiformats/multiaddr'
import { isQuic, isRelayed } from '../primitives/address-kind.ts'

/**
 * Splits own addresses by whether a chain accepts them. No chain accepts relayed addresses, which belong to the relay, or QUIC addresses.
 */
export function publishable(own: Multiaddr[]): { taken: Multiaddr[]; left: Multiaddr[] } {
  const isLeft = (address: Multiaddr): boolean => isRelayed(address) || isQuic(address)
  return { taken: own.filter((address) => !isLeft(address)), left: own.filter(isLeft) }
}

/** Describes the addresses that no chain accepts. */
export function leftOut(left: Multiaddr[]): string {
  const relayed = left.filter(isRelayed)
  const others = left.filter((address) => !isRelayed(address))
  return [
    ...(relayed.length > 0 ? [`left out: ${relayed.join(', ')}: the chain does not accept the address of a relay`] : []),
    ...(others.length > 0 ? [`left out: ${others.join(', ')}: the chain does not accept QUIC addresses`] : []),
  ].join('; ')
}
