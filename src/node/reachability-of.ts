import type { Libp2p, PeerId } from '@libp2p/interface'
import type { Logger } from '../observe/logger.ts'
import type { Door } from './admission/door.ts'
import type { DialPolicy } from './dial/dial-policy.ts'
import { kadProtocolOf } from './network/network.ts'
import { OwnReachability, type OwnReachabilityInit } from './reachability/own-reachability.ts'
import type { Services } from './stack/create-libp2p.ts'

/** Undefined for a node that listens nowhere. */
export function reachabilityOf(
  { settings, listen, log }: { settings: Parameters<typeof kadProtocolOf>[0]; listen: string[]; log: Logger },
  {
    libp2p,
    policy,
    door,
    protocolsOf,
  }: {
    libp2p: Libp2p<Services>
    policy: DialPolicy
    door: Door | undefined
    protocolsOf(peerId: PeerId, options: { signal: AbortSignal }): Promise<string[]>
  },
): OwnReachability | undefined {
  const { dialBack: dial, ...parts } = libp2p.services.reach
  // behind a door, whoever gets here is of the subnet
  const isOfSubnet: OwnReachabilityInit['isOfSubnet'] = async ({ remotePeer }, signal) =>
    door != null || (await protocolsOf(remotePeer, { signal })).includes(kadProtocolOf(settings))
  const admits = (peerId: PeerId): boolean => door?.refusalOf(peerId) == null
  return listen.length === 0
    ? undefined
    : new OwnReachability({ ...parts, libp2p, policy, dial, isOfSubnet, admits, log: log.scoped('dial') })
}
