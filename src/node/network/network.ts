/**
 * The kinds of networks: `native` has nodes of this package, `template` those of Hypertensor's Python template, with its DHT and its gossip.
 * Tasks are the same in both.
 */
export const NETWORKS = ['native', 'template'] as const
export type Network = (typeof NETWORKS)[number]

/** Noise. A node of the template offers it under the second ID alone; inside, both are the same. */
export const NOISE_PROTOCOL_ID = '/noise'
export const TEMPLATE_NOISE_PROTOCOL_ID = '/pos-transport/1.0.0'
/** The DHT of every network of the template. */
export const TEMPLATE_KAD_PROTOCOL_ID = '/ipfs/kad/1.0.0'
/** The only gossip protocol of the template. Its messages are those of 1.2, with additions. */
export const TEMPLATE_GOSSIP_PROTOCOL_ID = '/meshsub/2.0.0'

/** The protocol ID of a node's DHT. */
export function kadProtocolOf(settings: { network?: Network | undefined; subnetId: number; kadProtocol: string | undefined }): string {
  const { network, subnetId, kadProtocol } = settings
  return kadProtocol ?? (network === 'template' ? TEMPLATE_KAD_PROTOCOL_ID : `/subnet/${subnetId}/kad/1.0.0`)
}
