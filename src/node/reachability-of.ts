import type { Libp2p, PeerId } from '@libp2p/interface'
import type { Logger } from '../observe/logger.ts'
import type { Door } from './admission/door.ts'
import type { DialPolicy } from './dial/dial-policy.ts'
import { kadProtocolOf } from './network/network.ts'
import type { OwnPortMapping } from './port-mapping-of.ts'
import { OwnReachability, type OwnReachabilityInit } from './reachability/own-reachability.ts'
import type { Services } from './stack/create-libp2p.ts'

/** Undefined for a node that listens nowhere. */
export function reachabilityOf(
  { settings, listen, log }: { settings: Parameters<typeof kadProtocolOf>[0]; listen: string[]; log: Logger },
  {
    libp2p,
    portMapping,
    policy,
    door,
    protocolsOf,
  }: {
    libp2p: Libp2p<Services>
    portMapping: OwnPortMapping | undefined
    policy: DialPolicy
    door: Door | undefined
    protocolsOf(peerId: PeerId, options: { signal: AbortSignal }): Promise<string[]>
  },
): OwnReachability | undefined {
  const { dialBack: dial, ...parts } = libp2p.services.reach
  // with a door, every admitted peer belongs to the subnet
  const isOfSubnet: OwnReachabilityInit['isOfSubnet'] = async ({ remotePeer }, signal) =>
    door != null || (await protocolsOf(remotePeer, { signal })).includes(kadProtocolOf(settings))
  const admits = (peerId: PeerId): boolean => door?.refusalOf(peerId) == null
  if (listen.length === 0) {
    return undefined
  }
  const mapped: OwnReachabilityInit['mapped'] = () => portMapping?.mapped() ?? []
  const reachability = new OwnReachability({ ...parts, libp2p, policy, dial, isOfSubnet, admits, mapped, log: log.scoped('dial') })
  if (portMapping != null) {
    portMapping.onChange = (gone) => reachability.mappedChanged(gone)
  }
  return reachability
}
