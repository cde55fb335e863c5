import { ADDRESS_PROTOCOL_ID } from '../../protocol/builtin/address.ts'
import { DAG_SYNC_PROTOCOL_ID } from '../../protocol/builtin/dag-sync.ts'
import { type Network, TEMPLATE_GOSSIP_PROTOCOL_ID, TEMPLATE_KAD_PROTOCOL_ID } from './network.ts'

const GOSSIP_PREFIX = '/meshsub/'

/** The network of a peer, according to the protocol IDs from identify. Undefined if they are inconclusive. */
export function networkOf(protocols: Iterable<string>): Network | undefined {
  const spoken = new Set(protocols)
  if (spoken.has(ADDRESS_PROTOCOL_ID)) {
    // nodes of this package answer DAG sync in both networks
    return spoken.has(TEMPLATE_KAD_PROTOCOL_ID) ? 'template' : 'native'
  }
  return speaksTemplate(spoken) ? 'template' : undefined
}

/** True for a template node, as opposed to a node of this package. */
export function speaksTemplate(protocols: Iterable<string>): boolean {
  const spoken = new Set(protocols)
  const gossip = [...spoken].filter((id) => id.startsWith(GOSSIP_PREFIX))
  const onlyTemplates = gossip.length > 0 && gossip.every((id) => id === TEMPLATE_GOSSIP_PROTOCOL_ID)
  return !spoken.has(ADDRESS_PROTOCOL_ID) && (onlyTemplates || spoken.has(DAG_SYNC_PROTOCOL_ID))
}
