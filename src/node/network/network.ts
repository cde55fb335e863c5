/**
 * Kinds of networks: `native` with nodes of this package, `template` with nodes of Hypertensor's Python template, their DHT and their
 * gossip. Tasks are the same in both.
 */
export const NETWORKS = ['native', 'template'] as const
export type Network = (typeof NETWORKS)[number]

/** Noise. A template node offers it only under the second ID. The handshakes are identical. */
export const NOISE_PROTOCOL_ID = '/noise'
export const TEMPLATE_NOISE_PROTOCOL_ID = '/pos-transport/1.0.0'
/** The DHT protocol of all template networks. */
export const TEMPLATE_KAD_PROTOCOL_ID = '/ipfs/kad/1.0.0'
/** The only gossip protocol of template nodes. Its messages are those of 1.2 with additions. */
export const TEMPLATE_GOSSIP_PROTOCOL_ID = '/meshsub/2.0.0'

/** The protocol ID of a node's DHT. */
export function kadProtocolOf(settings: { network?: Network | undefined; subnetId: number; kadProtocol: string | undefined }): string {
  const { network, subnetId, kadProtocol } = settings
  return kadProtocol ?? (network === 'template' ? TEMPLATE_KAD_PROTOCOL_ID : `/subnet/${subnetId}/kad/1.0.0`)
}
