import type { Multiaddr } from '@multiformats/multiaddr'

/** How a router is asked: NAT-PMP (RFC 6886), or UPnP (an Internet Gateway Device, version 1 or 2). */
export type MappingProtocol = 'NAT-PMP' | 'UPnP'

/**
 * `off`: by setting. `unneeded`: there is no router to ask, or nothing to ask it for. `asking`: no answer yet. `mapped`: the router forwards a port.
 * `unmapped`: no router answered, it refused, or its external address is not public.
 */
export type PortMappingStatus = 'off' | 'unneeded' | 'asking' | 'mapped' | 'unmapped'

/** A port of the router that leads to a listener of this node. */
export interface MappedAddress {
  /** The external address, without `/p2p`. */
  multiaddr: Multiaddr
  /** The listener's. */
  internal: Multiaddr
  /** The end of the lease, Unix time in milliseconds; undefined for a mapping that stays until it is removed. It is renewed long before. */
  untilMs: number | undefined
}

/** What became of asking the router for a port. */
export interface PortMapping {
  status: PortMappingStatus
  /** One line: why it is so. Empty where a port is mapped. */
  detail: string
  /** The IP address of the router, where there is one to ask. */
  router: string | undefined
  /** What it was asked with last, where it answered. */
  protocol: MappingProtocol | undefined
  /** Empty unless `mapped`. */
  mappings: MappedAddress[]
}

/** Nothing is asked. */
export function notAsked(status: 'off' | 'unneeded', detail: string): PortMapping {
  return { status, detail, router: undefined, protocol: undefined, mappings: [] }
}
