import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../../primitives/log.ts'
import { ChainError, type NodeClass, NoSubnetError, type PeerRole } from '../registry.ts'
import { type HypertensorChain, LayoutError, type Reading } from './hypertensor-chain.ts'
import type { Layout } from './layout.ts'
import { type NamedPeer, peersIn } from './node-peers.ts'
import { readHex, type StorageValue } from './storage-reader.ts'

/** Peer ID → id of the node, of its main, its bootnode and its client peer. */
const PEER_MAPS = ['PeerIdSubnetNodeId', 'BootnodePeerIdSubnetNodeId', 'ClientPeerIdSubnetNodeId']
/** Id → node: those of an active subnet, and those that wait for theirs or for their turn. */
const NODE_MAPS = ['SubnetNodesData', 'RegisteredSubnetNodesData']
const BOOTNODES_MAP = 'SubnetBootnodes'
const FRIENDLY_MAP = 'FriendlyUidSubnetId'
/** A smaller id is a friendly one, which the chain has the real one of. */
const FIRST_SUBNET_ID = 128_000
const FRIENDLY_FOR_MS = 60_000
const MAX_NODES = 10_000
const KEYS_PER_PAGE = 1_000
const MAX_KEY_BYTES = 1_024
const MAX_REMEMBERED = 10_000
const MAX_ATTEMPTS = 3

/** A peer of the subnet, with addresses or without. */
export interface StoredPeer {
  peerId: PeerId
  multiaddrs: Multiaddr[]
  role: PeerRole | undefined
  nodeId: number | undefined
  nodeClass: NodeClass | undefined
}

/** The same, with the subnet and the accounts of its node. */
export interface StoredDescription {
  peer: StoredPeer | undefined
  subnetId: number
  friendlyId: number | undefined
  hotkey: string | undefined
  coldkey: string | undefined
}

/** An answer, and the block it is of. */
export interface AtBlock<T> {
  value: T
  block: number
}

/** All that the chain has of a subnet's peers, as it is stored. */
export interface Snapshot {
  layout: Layout
  block: number
  /** Key → value, of the nodes and of the bootnodes. */
  rows: Map<string, { map: string; value: string }>
}

/** What was found, and what makes it doubtful: an empty or an odd answer may come of a layout that is no more. */
interface Finding<T> extends AtBlock<T> {
  layout: Layout
  doubt?: 'nothing' | 'odd' | undefined
}

/** A subnet in the storage of the pallet Network. */
export class SubnetStorage {
  readonly #chain: HypertensorChain
  /** As it was given: the id on the chain, or the friendly one. */
  readonly subnetId: number
  readonly #log: Logger
  readonly #nodeIds = new LRUCache<string, number[]>({ max: MAX_REMEMBERED })
  readonly #complained = new LRUCache<string, true>({ max: MAX_REMEMBERED })
  #friendly: { id: number; atMs: number } | undefined

  constructor(chain: HypertensorChain, subnetId: number, log: Logger) {
    this.#chain = chain
    this.subnetId = subnetId
    this.#log = log
  }

  /** It is another chain than before: nothing that is remembered holds there. */
  forget(): void {
    this.#friendly = undefined
    this.#nodeIds.clear()
  }

  /** The subnet's id on the chain. @throws ChainError; UsageError for a friendly id that is no subnet's; the signal's reason */
  async id(signal: AbortSignal): Promise<number> {
    if (this.subnetId >= FIRST_SUBNET_ID) {
      return this.subnetId
    }
    if (this.#friendly != null && performance.now() - this.#friendly.atMs < FRIENDLY_FOR_MS) {
      return this.#friendly.id
    }
    const { value: id } = await this.#certain(signal, async () => {
      const reading = await this.#chain.read((layout) => [keyIn(layout, FRIENDLY_MAP, this.subnetId)].flat(), signal)
      const found = this.#valueIn(reading, FRIENDLY_MAP, this.subnetId)
      return { ...reading, value: typeof found === 'number' ? found : undefined, doubt: typeof found === 'number' ? undefined : 'nothing' }
    })
    if (id == null) {
      throw new NoSubnetError(this.#chain.rpc.endpoint, this.subnetId)
    }
    this.#friendly = { id, atMs: performance.now() }
    return id
  }

  /** Where a peer is: one round trip for a peer whose node is known, two otherwise. @throws ChainError; the signal's reason */
  async lookup(peerId: PeerId, signal: AbortSignal): Promise<AtBlock<StoredPeer | undefined>> {
    return this.#certain(signal, async () => {
      const layout = await this.#chain.layout(signal)
      if (this.#chain.inLayout(layout, () => PEER_MAPS.every((name) => layout.map(name) == null))) {
        const { value, block } = await this.list(signal)
        return { value: value.find((peer) => peer.peerId.equals(peerId)), block, layout }
      }
      return this.#find(peerId, await this.id(signal), signal)
    })
  }

  /** All peers that have addresses, each once: those of the nodes, then the subnet's bootnodes. @throws ChainError; the signal's reason */
  async list(signal: AbortSignal): Promise<AtBlock<StoredPeer[]>> {
    return this.#certain(signal, async () => {
      const { layout, block, rows } = await this.snapshot(signal)
      const decoded = [...rows.values()].map(({ map, value }) => this.#tryDecode(layout, map, value))
      const odd = decoded.filter((peers) => peers == null).length
      if (odd > 0 && odd === rows.size && (await this.#chain.isCurrent(layout, signal, true))) {
        throw new ChainError(`chain ${this.#chain.rpc.endpoint}: none of the ${odd} nodes of the subnet can be read`)
      }
      return {
        value: merged(decoded.flatMap((peers) => peers ?? [])),
        layout,
        block,
        doubt: odd > 0 ? 'odd' : rows.size === 0 ? 'nothing' : undefined,
      }
    })
  }

  /** A peer, its subnet and its owner. @throws ChainError; the signal's reason */
  async describe(peerId: PeerId, signal: AbortSignal): Promise<AtBlock<StoredDescription>> {
    const [subnetId, { value: peer, block }] = await Promise.all([this.id(signal), this.lookup(peerId, signal)])
    return { value: { peer, subnetId, friendlyId: undefined, hotkey: undefined, coldkey: undefined }, block }
  }

  /** The peers that the subnet's owner names to start from. @throws ChainError; the signal's reason */
  async bootnodes(signal: AbortSignal): Promise<AtBlock<StoredPeer[]>> {
    return this.#certain(signal, async () => {
      const subnet = await this.id(signal)
      const reading = await this.#chain.read((layout) => keyIn(layout, BOOTNODES_MAP, subnet), signal)
      const value = merged(this.#peersOf(reading, BOOTNODES_MAP, subnet))
      return { ...reading, value, doubt: value.length === 0 ? 'nothing' : undefined }
    })
  }

  /** @throws ChainError; the signal's reason */
  async snapshot(signal: AbortSignal): Promise<Snapshot> {
    const subnet = await this.id(signal)
    const layout = await this.#chain.layout(signal)
    const maps = new Map<string, string>()
    await Promise.all(
      NODE_MAPS.map(async (map) => {
        for (const prefix of this.#chain.inLayout(layout, () => keyIn(layout, map, subnet))) {
          for (const key of await this.keys(prefix, signal)) {
            maps.set(key, map)
          }
        }
      }),
    )
    for (const key of this.#chain.inLayout(layout, () => keyIn(layout, BOOTNODES_MAP, subnet))) {
      maps.set(key, BOOTNODES_MAP)
    }
    const reading = await this.#chain.read(() => [...maps.keys()], signal)
    const rows: Snapshot['rows'] = new Map()
    // in the order of the maps: an active node comes before one that waits
    for (const name of [...NODE_MAPS, BOOTNODES_MAP]) {
      for (const [key, map] of maps) {
        const value = reading.values.get(key)
        if (map === name && value != null) {
          rows.set(key, { map, value })
        }
      }
    }
    return { layout: reading.layout, block: reading.block, rows }
  }

  /** The peers in a row of a snapshot, with and without addresses; undefined for what cannot be read. */
  peersOfRow({ layout }: Pick<Snapshot, 'layout'>, { map, value }: { map: string; value: string }): NamedPeer[] | undefined {
    return this.#tryDecode(layout, map, value)
  }

  async #find(peerId: PeerId, subnet: number, signal: AbortSignal): Promise<Finding<StoredPeer | undefined>> {
    const text = peerId.toString()
    const bytes = Buffer.from(text)
    const known = this.#nodeIds.get(text) ?? []
    const nodeKeys = (layout: Layout, ids: number[]): string[] =>
      ids.flatMap((id) => NODE_MAPS.flatMap((name) => keyIn(layout, name, subnet, id)))
    const first = await this.#chain.read(
      (layout) => [
        ...PEER_MAPS.flatMap((name) => keyIn(layout, name, subnet, bytes)),
        ...keyIn(layout, BOOTNODES_MAP, subnet),
        ...nodeKeys(layout, known),
      ],
      signal,
    )
    const ids = [...new Set(PEER_MAPS.map((name) => this.#valueIn(first, name, subnet, bytes)))].filter(isNodeId)
    this.#nodeIds.set(text, ids)
    const reading = ids.every((id) => known.includes(id)) ? first : await this.#chain.read((layout) => nodeKeys(layout, ids), signal)
    const { layout, block } = reading
    if (first.layout !== layout) {
      return { value: undefined, layout: first.layout, block, doubt: 'nothing' }
    }
    const named = ids.map((id) => NODE_MAPS.flatMap((name) => this.#peersOf(reading, name, subnet, id)))
    const own = [...named.flat(), ...this.#peersOf(first, BOOTNODES_MAP, subnet)].filter((peer) => peer.peerId.equals(peerId))
    const [value] = merged(own)
    // a node that the chain finds by a peer, and that does not name it
    const odd = named.some((peers) => peers.every((peer) => !peer.peerId.equals(peerId)))
    return { value, layout, block, doubt: odd ? 'odd' : value == null ? 'nothing' : undefined }
  }

  /** Looks again where the layout turns out to be another by now. @throws ChainError; the signal's reason */
  async #certain<T>(signal: AbortSignal, look: () => Promise<Finding<T>>): Promise<AtBlock<T>> {
    for (let attempt = 1; ; attempt++) {
      const found = await look().catch((error: unknown) => error)
      if (found instanceof LayoutError) {
        if (attempt >= MAX_ATTEMPTS || (await this.#chain.isCurrent(found.layout, signal, true))) {
          throw found
        }
        continue
      }
      if (found instanceof Error) {
        throw found
      }
      const { value, block, layout, doubt } = found as Finding<T>
      if (doubt == null || attempt >= MAX_ATTEMPTS || (await this.#chain.isCurrent(layout, signal, doubt === 'odd'))) {
        return { value, block }
      }
    }
  }

  /** Every key that begins so. @throws ChainError; the signal's reason */
  async keys(prefix: string, signal: AbortSignal): Promise<string[]> {
    const keys: string[] = []
    for (;;) {
      const after = keys.at(-1) ?? null
      const read = (answer: unknown): string[] => readKeys(answer, prefix, after)
      const page = await this.#chain.rpc.call('state_getKeysPaged', [prefix, KEYS_PER_PAGE, after], { signal, read })
      keys.push(...page)
      if (keys.length > MAX_NODES) {
        throw new ChainError(`chain ${this.#chain.rpc.endpoint}: the subnet has more than ${MAX_NODES} nodes: they are not read`)
      }
      if (page.length < KEYS_PER_PAGE) {
        return keys
      }
    }
  }

  /** @throws LayoutError */
  #peersOf(reading: Reading, map: string, ...args: unknown[]): NamedPeer[] {
    return this.#told(peersIn(this.#valueIn(reading, map, ...args)))
  }

  /** A decoded value; undefined where there is none. @throws LayoutError */
  #valueIn({ layout, values }: Reading, map: string, ...args: unknown[]): unknown {
    return this.#chain.inLayout(layout, () => {
      const value: StorageValue | undefined = keyIn(layout, map, ...args).map((key) => values.get(key))[0]
      return value == null ? undefined : layout.map(map)?.decode(value)
    })
  }

  #tryDecode(layout: Layout, map: string, value: string): NamedPeer[] | undefined {
    try {
      return this.#told(peersIn(layout.map(map)?.decode(value)))
    } catch (error) {
      this.#complain(`a record of the chain cannot be read: ${(error as Error).message}`)
      return undefined
    }
  }

  #told(peers: NamedPeer[]): NamedPeer[] {
    for (const { peerId, refused } of peers) {
      for (const reason of refused) {
        this.#complain(`the chain has for ${peerId.toString()} what is no address of it: ${reason}`)
      }
    }
    return peers
  }

  /** Once each. */
  #complain(message: string): void {
    if (!this.#complained.has(message)) {
      this.#complained.set(message, true)
      this.#log.warn(message)
    }
  }
}

/** The key in a map, or none on a chain that lacks the map. @throws Error */
function keyIn(layout: Layout, map: string, ...args: unknown[]): string[] {
  const found = layout.map(map)
  return found == null ? [] : [found.key(...args)]
}

function isNodeId(value: unknown): value is number {
  return typeof value === 'number' && value > 0
}

/** Each peer once; where several places name it, the first with addresses. */
function merged(peers: NamedPeer[]): StoredPeer[] {
  const found = new Map<string, StoredPeer>()
  for (const { peerId, multiaddrs } of peers) {
    if ((found.get(peerId.toString())?.multiaddrs.length ?? 0) === 0) {
      found.set(peerId.toString(), { peerId, multiaddrs, role: undefined, nodeId: undefined, nodeClass: undefined })
    }
  }
  return [...found.values()]
}

/** A page of keys: each begins so, each after the one before. @throws Error */
function readKeys(answer: unknown, prefix: string, after: string | null): string[] {
  if (!Array.isArray(answer) || answer.length > KEYS_PER_PAGE) {
    throw new Error('no page of keys')
  }
  let last = after
  return answer.map((each) => {
    const key = readHex(each, MAX_KEY_BYTES)
    if (!key.startsWith(prefix) || (last != null && key <= last)) {
      throw new Error('a key that was not asked for')
    }
    last = key
    return key
  })
}
