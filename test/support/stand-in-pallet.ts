import type { HypertensorState } from './hypertensor-state.ts'

interface PeerInfo {
  peer_id: Uint8Array
  multiaddr: Uint8Array | undefined
}

/** A call, as it is decoded. */
export interface Call {
  type: string
  value: { type: string; value: Record<string, unknown> }
}

/** An event, as it is encoded. */
export interface Event {
  type: string
  value: { type: string; value?: unknown }
}

/** The calls that give a node one of its peers: under the names of v3, and those that came later. */
const UPDATES: Record<string, Update> = Object.fromEntries(
  (
    [
      ['peer_info', 'PeerIdSubnetNodeId', 'peer_info', 'SubnetNodeUpdatePeerInfo'],
      ['bootnode_peer_info', 'BootnodePeerIdSubnetNodeId', 'bootnode_peer_info', 'SubnetNodeUpdateBootnodePeerInfo'],
      ['client_peer_info', 'ClientPeerIdSubnetNodeId', 'client_peer_info', 'SubnetNodeUpdateClientPeerInfo'],
    ] as const
  ).flatMap(([name, map, field, event]) => [`update_${name}`, `update_node_${name}`].map((call) => [call, { map, field, event }])),
)
/** Who has a peer ID in these, has it alone. */
const PEER_MAPS = ['PeerIdSubnetNodeId', 'BootnodePeerIdSubnetNodeId', 'ClientPeerIdSubnetNodeId', 'PeerIdOverwatchNodeId']

interface Update {
  map: string
  field: 'peer_info' | 'bootnode_peer_info' | 'client_peer_info'
  event: string
}

interface Node extends Record<Update['field'], PeerInfo | undefined> {
  hotkey: string
}

/** What the pallet Network, and the batch of Utility, do with the calls that the tests hand in: by the rules of the chain. */
export class StandInPallet {
  readonly #state: HypertensorState

  constructor(state: HypertensorState) {
    this.#state = state
  }

  /** @throws Refusal */
  carryOut(call: Call, account: string): Event[] {
    const { type, value } = call.value
    if (call.type === 'Utility' && type === 'batch_all') {
      const events = (value['calls'] as Call[]).flatMap((each) => [
        ...this.carryOut(each, account),
        { type: 'Utility', value: { type: 'ItemCompleted' } },
      ])
      return [...events, { type: 'Utility', value: { type: 'BatchCompleted' } }]
    }
    const update = call.type === 'Network' ? UPDATES[type] : undefined
    if (update == null) {
      throw new Error(`the stand-in cannot carry out ${call.type}.${type}`)
    }
    return [this.#update(update, value, account)]
  }

  /** The chain's rules, in its order. @throws Refusal */
  #update({ map, field, event }: Update, { subnet_id, subnet_node_id, new_peer_info }: Record<string, unknown>, account: string): Event {
    const state = this.#state
    const info = new_peer_info as PeerInfo | undefined
    const node = state.get('SubnetNodesData', subnet_id, subnet_node_id) as Node | undefined
    if (node == null) {
      throw new Refusal('InvalidSubnetNodeId')
    }
    if (String(state.get('HotkeyOwner', node.hotkey)).toLowerCase() !== account) {
      throw new Refusal('NotKeyOwner')
    }
    if (info != null) {
      this.#checkFree(subnet_id, info)
    }
    const before = node[field]
    if (before != null) {
      state.storage.delete(state.key(map, subnet_id, before.peer_id))
    }
    if (before?.multiaddr != null) {
      state.storage.delete(state.key('MultiaddrSubnetNodeId', subnet_id, before.multiaddr))
    }
    if (info != null) {
      state.set(map, [subnet_id, info.peer_id], subnet_node_id)
    }
    if (info?.multiaddr != null) {
      state.set('MultiaddrSubnetNodeId', [subnet_id, info.multiaddr], subnet_node_id)
    }
    state.set('SubnetNodesData', [subnet_id, subnet_node_id], { ...node, [field]: info })
    return { type: 'Network', value: { type: event, value: { subnet_id, subnet_node_id, [field]: info } } }
  }

  /** Not even the node itself may have the peer ID already. @throws Refusal */
  #checkFree(subnet: unknown, { peer_id, multiaddr }: PeerInfo): void {
    if (PEER_MAPS.some((map) => isTaken(this.#state.get(map, subnet, peer_id)))) {
      throw new Refusal('PeerIdExist')
    }
    if (multiaddr != null && isTaken(this.#state.get('MultiaddrSubnetNodeId', subnet, multiaddr))) {
      throw new Refusal('MultiaddrExist')
    }
  }
}

/** The chain does not carry a call out: the name of its error. */
export class Refusal extends Error {}

function isTaken(id: unknown): boolean {
  return typeof id === 'number' && id > 0
}
