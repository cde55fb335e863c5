import { ADDRESS_PROTOCOL_ID } from '../../protocol/builtin/address.ts'
import { DAG_SYNC_PROTOCOL_ID } from '../../protocol/builtin/dag-sync.ts'
import { type Network, TEMPLATE_GOSSIP_PROTOCOL_ID, TEMPLATE_KAD_PROTOCOL_ID } from './network.ts'

const GOSSIP_PREFIX = '/meshsub/'

/** The network of a peer, by the protocol IDs that it told with identify; undefined where they do not say. */
export function networkOf(protocols: Iterable<string>): Network | undefined {
  const spoken = new Set(protocols)
  if (spoken.has(ADDRESS_PROTOCOL_ID)) {
    // a node of this package answers DAG sync in both networks
    return spoken.has(TEMPLATE_KAD_PROTOCOL_ID) ? 'template' : 'native'
  }
  return speaksTemplate(spoken) ? 'template' : undefined
}

/** Whether a peer is a node of the template, and none of this package. */
export function speaksTemplate(protocols: Iterable<string>): boolean {
  const spoken = new Set(protocols)
  const gossip = [...spoken].filter((id) => id.startsWith(GOSSIP_PREFIX))
  const onlyTemplates = gossip.length > 0 && gossip.every((id) => id === TEMPLATE_GOSSIP_PROTOCOL_ID)
  return !spoken.has(ADDRESS_PROTOCOL_ID) && (onlyTemplates || spoken.has(DAG_SYNC_PROTOCOL_ID))
}
