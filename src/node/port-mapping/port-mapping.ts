import type { Multiaddr } from '@multiformats/multiaddr'

/** The protocol used with the router: NAT-PMP (RFC 6886) or UPnP (an Internet Gateway Device, version 1 or 2). */
export type MappingProtocol = 'NAT-PMP' | 'UPnP'

/**
 * `off`: disabled by setting. `unneeded`: no router, or no port to map. `asking`: no answer yet. `mapped`: the router forwards a port.
 * `unmapped`: no router answered, it refused, or its external address is not public.
 */
export type PortMappingStatus = 'off' | 'unneeded' | 'asking' | 'mapped' | 'unmapped'

/** A router port that forwards to a listener of this node. */
export interface MappedAddress {
  /** The external address, without `/p2p`. */
  multiaddr: Multiaddr
  /** The listener's address. */
  internal: Multiaddr
  /** End of the lease as Unix time in milliseconds, renewed well before. Undefined for a permanent mapping. */
  untilMs: number | undefined
}

/** The state of the port mapping. */
export interface PortMapping {
  status: PortMappingStatus
  /** One line: the reason of the status. Empty if a port is mapped. */
  detail: string
  /** IP address of the router, if there is one to ask. */
  router: string | undefined
  /** The protocol that the router last answered. */
  protocol: MappingProtocol | undefined
  /** Empty unless `mapped`. */
  mappings: MappedAddress[]
}

/** The state of a mapping that was not requested. */
export function notAsked(status: 'off' | 'unneeded', detail: string): PortMapping {
  return { status, detail, router: undefined, protocol: undefined, mappings: [] }
}
