import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../../observe/logger.ts'
import { ChainError } from '../registry.ts'
import { type AtBlock, certain, type Finding } from './certain.ts'
import { type HypertensorChain, LayoutError, type Reading } from './hypertensor-chain.ts'
import type { Layout } from './layout.ts'
import { fieldAt } from './node-fields.ts'
import type { StoredPeer } from './node-peers.ts'
import { proofOfStake } from './proof-of-stake.ts'
import { RpcError } from './rpc-error.ts'
import { SubnetIdentity } from './subnet-identity.ts'
import { keysBelow } from './subnet-keys.ts'
import { bootnodeMaps, NODE_MAPS, OVERWATCH_MAP, type Row, SubnetRows } from './subnet-rows.ts'

/** Peer ID → id of the node, for main, bootnode and client peers. */
const PEER_MAPS = ['PeerIdSubnetNodeId', 'BootnodePeerIdSubnetNodeId', 'ClientPeerIdSubnetNodeId']
const OVERWATCH_HOTKEYS = 'OverwatchNodeIdHotkey'
const OWNERS = 'HotkeyOwner'
const ROLES = ['main', 'bootnode', 'client', 'overwatch']
const MAX_REMEMBERED = 10_000

export type { AtBlock } from './certain.ts'
export type { StoredPeer } from './node-peers.ts'

/** A peer with the subnet and the accounts of its node. */
export interface StoredDescription {
  peer: StoredPeer | undefined
  subnetId: number
  friendlyId: number | undefined
  hotkey: string | undefined
  coldkey: string | undefined
}

/** The peers of a subnet. `unread` records did not match the layout, so a peer missing here may still be in the subnet. */
export interface StoredPeers {
  peers: StoredPeer[]
  unread: number
}

/** All stored data about a subnet's peers. */
export interface Snapshot {
  layout: Layout
  block: number
  /** By key: the nodes, the overwatch nodes' peers, and the subnet's bootnodes. */
  rows: Map<string, Row>
}

/** Reads a subnet from the storage of the pallet Network. */
export class SubnetStorage {
  readonly #chain: HypertensorChain
  readonly #subnet: SubnetIdentity
  readonly #rows: SubnetRows
  readonly #nodeIds = new LRUCache<string, number[]>({ max: MAX_REMEMBERED })

  constructor(chain: HypertensorChain, subnetId: number, log: Logger) {
    this.#chain = chain
    this.#subnet = new SubnetIdentity(chain, subnetId)
    this.#rows = new SubnetRows(log)
  }

  /** The id as given: the id on the chain, or the friendly id. */
  get subnetId(): number {
    return this.#subnet.given
  }

  /** The number of decoded rows of the subnet. */
  get rowsRead(): number {
    return this.#rows.read
  }

  /** The subnet's id on the chain. @throws ChainError; NoSubnetError for an unknown friendly id; the signal's reason */
  async id(signal: AbortSignal): Promise<number> {
    return this.#subnet.id(signal)
  }

  /** Checks that the subnet exists, with a short cache. @throws ChainError, NoSubnetError; the signal's reason */
  async confirm(signal: AbortSignal): Promise<void> {
    await this.#subnet.confirm(await this.#subnet.id(signal), signal)
  }

  /** Clears the cache, because the chain was replaced or the subnet is gone. */
  forget(): void {
    this.#subnet.forget()
    this.#nodeIds.clear()
  }

  /** Whether a peer has stake in the subnet, with at least this class. @throws ChainError, NoSubnetError; the signal's reason */
  async hasStake(peerId: PeerId, minClass: number, signal: AbortSignal): Promise<AtBlock<boolean>> {
    return certain(this.#chain, signal, async () => {
      const subnetId = await this.#subnet.id(signal)
      const layout = await this.#chain.layout(signal)
      const asking = proofOfStake(this.#chain, { layout, subnetId, peerId, minClass }, signal).catch((error: unknown) => {
        // a runtime that takes other arguments by now ends in a trap
        throw error instanceof RpcError && error.fault === 'refused' ? new LayoutError(error.message, layout, error) : error
      })
      const [value, { block, layout: now = layout }] = await Promise.all([asking, this.#subnet.confirm(subnetId, signal)])
      return { value, block, layout, doubt: now === layout ? undefined : 'nothing' }
    })
  }

  /**
   * Role and addresses of a peer: one round trip if its node is known, two otherwise. Undefined if the peer is not in the subnet.
   * @throws ChainError, NoSubnetError; the signal's reason
   */
  async lookup(peerId: PeerId, signal: AbortSignal): Promise<AtBlock<StoredPeer | undefined>> {
    return certain(this.#chain, signal, async () => {
      const layout = await this.#chain.layout(signal)
      const lacksMaps = this.#chain.inLayout(layout, () => {
        this.#rows.checkLayouts(layout)
        return PEER_MAPS.some((name) => layout.map(name) == null)
      })
      if (lacksMaps) {
        const { value: listed, block } = await this.list(signal)
        return { value: this.#findIn(listed, peerId), block, layout }
      }
      return this.#find(peerId, await this.id(signal), signal)
    })
  }

  /**
   * All peers of the subnet without duplicates: main peers, then bootnode, client and overwatch peers, then the subnet's own bootnodes.
   * @throws ChainError, NoSubnetError; the signal's reason
   */
  async list(signal: AbortSignal): Promise<AtBlock<StoredPeers>> {
    return certain(this.#chain, signal, async () => {
      const { layout, block, rows } = await this.snapshot(signal)
      const decoded = this.#chain.inLayout(layout, () => [...rows.values()].map((row) => this.#rows.tryPeersOf(layout, row)))
      const odd = decoded.filter((peers) => peers == null).length
      if (odd > 0 && odd === rows.size && (await this.#chain.isCurrent(layout, signal, true))) {
        throw new ChainError(`chain ${this.#chain.rpc.endpoint}: none of the ${odd} nodes of the subnet can be read`)
      }
      return {
        value: { peers: merged(decoded.flatMap((peers) => peers ?? [])), unread: odd },
        layout,
        block,
        doubt: odd > 0 ? 'odd' : rows.size === 0 ? 'nothing' : undefined,
      }
    })
  }

  /** A peer with its subnet and its owner's accounts. @throws ChainError, NoSubnetError; the signal's reason */
  async describe(peerId: PeerId, signal: AbortSignal): Promise<AtBlock<StoredDescription>> {
    const { value: peer, block } = await this.lookup(peerId, signal)
    const subnetId = await this.id(signal)
    const [friendlyId, hotkey] = await Promise.all([this.#subnet.friendlyId(subnetId, signal), this.#hotkeyOf(subnetId, peer, signal)])
    const coldkey = hotkey == null ? undefined : asText(await this.#valueAt(signal, OWNERS, hotkey))
    return { value: { peer, subnetId, friendlyId, hotkey, coldkey }, block }
  }

  /** The bootstrap peers named by the subnet's owner. @throws ChainError, NoSubnetError; the signal's reason */
  async bootnodes(signal: AbortSignal): Promise<AtBlock<StoredPeer[]>> {
    return certain(this.#chain, signal, async () => {
      const subnet = await this.id(signal)
      const reading = await this.#chain.read(
        (layout) => [...this.#subnet.keys(layout, subnet), ...keysIn(layout, bootnodeMaps(layout), subnet)],
        signal,
      )
      this.#subnet.check(reading, subnet)
      const value = merged(this.#bootnodesIn(reading, subnet))
      return { ...reading, value, doubt: value.length === 0 ? 'nothing' : undefined }
    })
  }

  /** @throws ChainError, NoSubnetError; the signal's reason */
  async snapshot(signal: AbortSignal): Promise<Snapshot> {
    const subnet = await this.id(signal)
    const layout = await this.#chain.layout(signal)
    const single = this.#chain.inLayout(layout, () => bootnodeMaps(layout))
    const prefixes = this.#chain.inLayout(layout, () => {
      this.#rows.checkLayouts(layout)
      return [...NODE_MAPS, ...overwatchMaps(layout)].map((map) => ({ map, prefix: layout.needed(map).key(subnet) }))
    })
    // in this order: active nodes before registered ones
    const listed = await Promise.all(
      prefixes.map(async ({ map, prefix }) => (await keysBelow(this.#chain, prefix, signal)).map((key) => ({ map, key }))),
    )
    const places = [...listed.flat(), ...single.map((map) => ({ map, key: layout.needed(map).key(subnet) }))]
    const reading = await this.#chain.read((made) => [...this.#subnet.keys(made, subnet), ...places.map(({ key }) => key)], signal)
    this.#subnet.check(reading, subnet)
    const rows = new Map<string, Row>()
    for (const { map, key } of places) {
      const value = reading.values.get(key)
      if (value != null) {
        rows.set(key, { key, map, value })
      }
    }
    return { layout: reading.layout, block: reading.block, rows }
  }

  /** The peers in a row of a snapshot, with or without addresses; undefined if the row cannot be read. */
  peersOfRow({ layout }: Pick<Snapshot, 'layout'>, row: Row): StoredPeer[] | undefined {
    return this.#chain.inLayout(layout, () => this.#rows.tryPeersOf(layout, row))
  }

  async #find(peerId: PeerId, subnet: number, signal: AbortSignal): Promise<Finding<StoredPeer | undefined>> {
    const text = peerId.toString()
    const bytes = Buffer.from(text)
    const known = this.#nodeIds.get(text) ?? []
    const nodeKeys = (layout: Layout, ids: number[]): string[] => ids.flatMap((id) => keysIn(layout, NODE_MAPS, subnet, id))
    const first = await this.#chain.read(
      (layout) => [
        ...this.#subnet.keys(layout, subnet),
        ...keysIn(layout, PEER_MAPS, subnet, bytes),
        ...keysIn(layout, overwatchMaps(layout), subnet, bytes),
        ...keysIn(layout, bootnodeMaps(layout), subnet),
        ...nodeKeys(layout, known),
      ],
      signal,
    )
    this.#subnet.check(first, subnet)
    const ids = [...new Set(PEER_MAPS.map((name) => this.#valueIn(first, name, subnet, bytes)))].filter(isNodeId)
    this.#nodeIds.set(text, ids)
    const reading = ids.every((id) => known.includes(id)) ? first : await this.#chain.read((layout) => nodeKeys(layout, ids), signal)
    const { layout, block } = reading
    if (first.layout !== layout) {
      return { value: undefined, layout: first.layout, block, doubt: 'nothing' }
    }
    const named = ids.map((id) => this.#peersIn(reading, NODE_MAPS, subnet, id))
    const overwatch = this.#peersIn(first, overwatchMaps(layout), subnet, bytes)
    const own = [...named.flat(), ...overwatch, ...this.#bootnodesIn(first, subnet)].filter((peer) => peer.peerId.equals(peerId))
    const [value] = merged(own)
    // the chain maps a peer to this node, but the node does not name the peer
    const odd = named.some((peers) => peers.every((peer) => !peer.peerId.equals(peerId)))
    return { value, layout, block, doubt: odd ? 'odd' : value == null ? 'nothing' : undefined }
  }

  /** @throws ChainError if the peer may be in an unread record */
  #findIn({ peers, unread }: StoredPeers, peerId: PeerId): StoredPeer | undefined {
    const found = peers.find((peer) => peer.peerId.equals(peerId))
    if (found == null && unread > 0) {
      const what = `${unread} of the nodes of the subnet cannot be read, and none of the others has the peer ${peerId.toString()}`
      throw new ChainError(`chain ${this.#chain.rpc.endpoint}: ${what}`)
    }
    return found
  }

  async #hotkeyOf(subnet: number, peer: StoredPeer | undefined, signal: AbortSignal): Promise<string | undefined> {
    if (peer?.nodeId == null) {
      return undefined
    }
    if (peer.role === 'overwatch') {
      return asText(await this.#valueAt(signal, OVERWATCH_HOTKEYS, peer.nodeId))
    }
    const { nodeId } = peer
    const reading = await this.#chain.read((layout) => keysIn(layout, NODE_MAPS, subnet, nodeId), signal)
    const texts = NODE_MAPS.map((map) => {
      const { hotkey } = this.#chain.inLayout(reading.layout, () => this.#rows.fieldsOf(reading.layout, map))
      return hotkey == null ? undefined : asText(fieldAt(this.#valueIn(reading, map, subnet, nodeId), hotkey))
    })
    return texts.find((text) => text != null)
  }

  /** A value from a map that some runtimes lack; undefined without a value. @throws ChainError; the signal's reason */
  async #valueAt(signal: AbortSignal, map: string, ...args: unknown[]): Promise<unknown> {
    const keysOf = (layout: Layout): string[] => (layout.map(map) == null ? [] : keysIn(layout, [map], ...args))
    const reading = await this.#chain.read(keysOf, signal)
    return reading.layout.map(map) == null ? undefined : this.#valueIn(reading, map, ...args)
  }

  #bootnodesIn(reading: Reading, subnet: number): StoredPeer[] {
    return this.#peersIn(
      reading,
      this.#chain.inLayout(reading.layout, () => bootnodeMaps(reading.layout)),
      subnet,
    )
  }

  /** @throws LayoutError */
  #peersIn({ layout, values }: Reading, maps: readonly string[], ...args: unknown[]): StoredPeer[] {
    return this.#chain.inLayout(layout, () =>
      maps.flatMap((map) => {
        const key = layout.needed(map).key(...args)
        const value = values.get(key)
        return value == null ? [] : this.#rows.peersOf(layout, { key, map, value })
      }),
    )
  }

  /** A decoded value; undefined without a value. @throws LayoutError */
  #valueIn({ layout, values }: Reading, name: string, ...args: unknown[]): unknown {
    return this.#chain.inLayout(layout, () => {
      const map = layout.needed(name)
      const value = values.get(map.key(...args))
      return value == null ? undefined : map.decode(value)
    })
  }
}

/** The keys for these arguments in each map. @throws Error if the chain lacks a map */
function keysIn(layout: Layout, maps: readonly string[], ...args: unknown[]): string[] {
  return maps.map((map) => layout.needed(map).key(...args))
}

function overwatchMaps(layout: Layout): string[] {
  return layout.map(OVERWATCH_MAP) == null ? [] : [OVERWATCH_MAP]
}

function isNodeId(value: unknown): value is number {
  return typeof value === 'number' && value > 0
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/**
 * Removes duplicates. The first entry of a peer wins, ordered by role with the subnet's own bootnodes last; its addresses are the first
 * ones found.
 */
function merged(peers: StoredPeer[]): StoredPeer[] {
  const rank = ({ role, nodeId }: StoredPeer): number => (nodeId == null ? ROLES.length : ROLES.indexOf(role))
  const found = new Map<string, StoredPeer>()
  for (const peer of peers.toSorted((a, b) => rank(a) - rank(b))) {
    const id = peer.peerId.toString()
    const known = found.get(id)
    if (known == null || (known.multiaddrs.length === 0 && peer.multiaddrs.length > 0)) {
      found.set(id, known == null ? peer : { ...known, multiaddrs: peer.multiaddrs })
    }
  }
  return [...found.values()]
}
