import { readFileSync } from 'node:fs'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr as toMultiaddr } from '@multiformats/multiaddr'
import { NODE_CLASSES, type NodeClass } from '../../src/chain/registry.ts'
import { edited, RUNTIMES, type RuntimeName } from './runtimes.ts'
import { SecondCodec } from './second-codec.ts'

/** What was recorded of a real chain: see the README beside it. */
export interface Recorded {
  subnetId: number
  genesisHash: string
  header: { number: string }
  runtimeVersion: { specVersion: number }
  storage: Record<string, string>
  proofOfStake: Record<string, boolean>
  nodes: Record<string, { peerId: string; multiaddr: string | null; bootnode: { peerId: string; multiaddr: string } | null }>
  subnetBootnodes: Array<[string, string]>
}

export const RECORDED: Recorded = JSON.parse(readFileSync(new URL('../fixtures/hypertensor/state.json', import.meta.url), 'utf8'))
export const RECORDED_METADATA = RUNTIMES.v3.metadata14
export const SUBNET = RECORDED.subnetId
const FRIENDLY_ID = 1
const PALLET = 'Network'
const NODE_MAPS = ['SubnetNodesData', 'RegisteredSubnetNodesData']
const PEER_MAPS = { main: 'PeerIdSubnetNodeId', bootnode: 'BootnodePeerIdSubnetNodeId', client: 'ClientPeerIdSubnetNodeId' }

/** A node as the codec of the chain takes it: its fields depend on the metadata. */
type NodeValue = Record<string, unknown>

export interface NodeInit {
  subnet?: number
  map?: string
  nodeClass?: NodeClass
  hotkey?: string
  /** Other peers of the same node, each with its address, if it has one. */
  bootnode?: [string, Multiaddr | undefined]
  client?: [string, Multiaddr | undefined]
}

/**
 * The state of a stand-in chain: what was recorded of the v3 runtime, or the same in the layout of the earlier one, and what a test makes
 * of it. All is encoded by the chain's metadata with another codec than that of `src`.
 */
export class HypertensorState {
  readonly storage = new Map<string, string>()
  genesisHash = RECORDED.genesisHash
  /** Of version 15. */
  metadata: string
  metadata14: string
  runtimeVersion: Record<string, unknown> & { specVersion: number } = { ...RECORDED.runtimeVersion }
  block = Number(RECORDED.header.number)
  runtime: RuntimeName
  #codec: SecondCodec
  #nextNode = 100

  constructor(runtime: RuntimeName = 'v3', { isEmpty = false } = {}) {
    this.runtime = runtime
    this.metadata = RUNTIMES[runtime].metadata
    this.metadata14 = RUNTIMES[runtime].metadata14
    this.#codec = new SecondCodec(this.metadata)
    if (isEmpty) {
      this.addSubnet(SUBNET, FRIENDLY_ID)
    } else {
      this.#addRecorded()
    }
  }

  /** With the recorded subnet, but without nodes. */
  static empty(runtime: RuntimeName = 'v3'): HypertensorState {
    return new HypertensorState(runtime, { isEmpty: true })
  }

  /** A key of the pallet. */
  key(map: string, ...args: unknown[]): string {
    return this.#codec.key(PALLET, map, args)
  }

  set(map: string, args: unknown[], value: unknown): void {
    this.storage.set(this.key(map, ...args), this.#codec.encode(PALLET, map, value))
  }

  get(map: string, ...args: unknown[]): unknown {
    const value = this.storage.get(this.key(map, ...args))
    return value == null ? undefined : this.#codec.decode(PALLET, map, value)
  }

  addSubnet(id: number, friendlyId: number): void {
    const name = Buffer.from(`subnet ${id}`)
    const state = { type: 'Active' }
    const data = { id, friendly_id: friendlyId, name, repo: name, description: name, misc: name, state, start_epoch: 0 }
    this.set('SubnetsData', [id], data)
    this.set('FriendlyUidSubnetId', [friendlyId], id)
  }

  removeSubnet(id = SUBNET): void {
    this.storage.delete(this.key('SubnetsData', id))
  }

  /** Gives a peer a node, or another address to the one that it has. @returns the node's id */
  setNode(peerId: string, multiaddr: Multiaddr | Uint8Array | undefined, init: NodeInit = {}): number {
    const { subnet = SUBNET, map = 'SubnetNodesData', nodeClass, hotkey, bootnode, client } = init
    const known = this.nodeOf(peerId, subnet)
    const id = known ?? this.#nextNode++
    if (known == null) {
      this.count('TotalSubnetNodes', 1, subnet)
      this.count('TotalSubnetNodeUids', 1, subnet)
    }
    const before = (known == null ? undefined : this.get(map, subnet, known)) as NodeValue | undefined
    const bytes = multiaddr == null || multiaddr instanceof Uint8Array ? multiaddr : multiaddr.bytes
    const peers = [
      [peerId, bytes] as const,
      ...[bootnode, client].map((peer) => (peer == null ? undefined : ([peer[0], peer[1]?.bytes] as const))),
    ]
    const classification = nodeClass == null ? before?.classification : { node_class: { type: nameOf(nodeClass) }, start_epoch: 0 }
    const base = { ...TEMPLATE, hotkey: hotkey ?? hotkeyOf(id), ...before, ...(classification == null ? {} : { classification }) }
    this.set(map, [subnet, id], { ...base, id, ...this.#peersOfNode(peers) })
    for (const [role, peer] of [
      ['main', peerId],
      ['bootnode', bootnode?.[0]],
      ['client', client?.[0]],
    ] as const) {
      if (peer != null) {
        this.set(PEER_MAPS[role], [subnet, Buffer.from(peer)], id)
      }
    }
    return id
  }

  /** The id of the node whose main peer this is. */
  nodeOf(peerId: string, subnet = SUBNET): number | undefined {
    return this.get(PEER_MAPS.main, subnet, Buffer.from(peerId)) as number | undefined
  }

  /** Adds to a count of the pallet. */
  count(map: string, by: number, ...args: unknown[]): void {
    this.set(map, args, Number(this.get(map, ...args) ?? 0) + by)
  }

  removeNode(peerId: string, subnet = SUBNET): void {
    const id = this.nodeOf(peerId, subnet)
    if (id != null) {
      this.count('TotalSubnetNodes', -1, subnet)
    }
    for (const map of id == null ? [] : NODE_MAPS) {
      this.storage.delete(this.key(map, subnet, id))
    }
    this.storage.delete(this.key(PEER_MAPS.main, subnet, Buffer.from(peerId)))
  }

  /** Gives a peer's node this class, and a node to a peer that has none; undefined takes its node away. */
  setClass(peerId: string, nodeClass: NodeClass | undefined, subnet = SUBNET): void {
    if (nodeClass == null) {
      this.removeNode(peerId, subnet)
      return
    }
    const id = this.nodeOf(peerId, subnet)
    const node = id == null ? undefined : (this.get('SubnetNodesData', subnet, id) as NodeValue | undefined)
    if (node == null) {
      this.setNode(peerId, undefined, { subnet, nodeClass })
    } else {
      this.set('SubnetNodesData', [subnet, id], { ...node, classification: { node_class: { type: nameOf(nodeClass) }, start_epoch: 0 } })
    }
  }

  /** Lets an overwatch node have a peer in the subnet, in place of another; it is made where there is none. */
  setOverwatch(peerId: string, nodeId: number, { subnet = SUBNET, hotkey = hotkeyOf(nodeId) } = {}): void {
    if (this.get('OverwatchNodes', nodeId) == null) {
      this.set('OverwatchNodes', [nodeId], { id: nodeId, hotkey })
      this.set('OverwatchNodeIdHotkey', [nodeId], hotkey)
      this.count('TotalOverwatchNodes', 1)
      this.count('TotalOverwatchNodeUids', 1)
    }
    this.#setOverwatchPeer(nodeId, subnet, peerId)
    this.set('PeerIdOverwatchNodeId', [subnet, Buffer.from(peerId)], nodeId)
  }

  removeOverwatch(peerId: string, subnet = SUBNET): void {
    const nodeId = this.get('PeerIdOverwatchNodeId', subnet, Buffer.from(peerId))
    if (nodeId != null) {
      this.#setOverwatchPeer(Number(nodeId), subnet, undefined)
    }
  }

  setBootnodes(peers: Array<[string, Uint8Array]>, subnet = SUBNET): void {
    const byPeer = peers.map(([peer, address]) => [Buffer.from(peer), address])
    if (this.runtime === 'v3') {
      this.set('SubnetBootnodes', [subnet], byPeer)
    } else {
      this.set(
        'SubnetBootnodes',
        [subnet],
        peers.map(([, address]) => address),
      )
      this.set('SubnetBootnodesV2', [subnet], byPeer)
    }
  }

  /** As the chain says it: by the class of the node, and for overwatch nodes and the subnet's bootnodes whatever the class. */
  proofOfStake(subnet: number, peerId: string, minClass: number): boolean {
    const id = Buffer.from(peerId)
    if (this.get('SubnetsData', subnet) == null) {
      return false
    }
    const nodes = Object.values(PEER_MAPS).map((map) => this.get(map, subnet, id))
    const classes = nodes.flatMap((node) => (node == null ? [] : NODE_MAPS.map((map) => this.get(map, subnet, node))))
    const isClassed = classes.some((node) => node != null && classIn(node as NodeValue) >= minClass)
    const bootnodes = this.get(this.runtime === 'v3' ? 'SubnetBootnodes' : 'SubnetBootnodesV2', subnet) as Array<[Uint8Array]> | undefined
    return (
      isClassed ||
      this.get('PeerIdOverwatchNodeId', subnet, id) != null ||
      (bootnodes ?? []).some(([bootnode]) => Buffer.from(bootnode).equals(id))
    )
  }

  /** What a runtime call answers, by its own arguments. @throws Error for bytes that are not exactly they */
  runtimeCall(name: string, encoded: string): string {
    const [api = '', method = ''] = name.split(/_(.*)/)
    const { subnet_id, peer_id, min_class } = this.#codec.argumentsOf(api, method, encoded)
    const answer = this.proofOfStake(Number(subnet_id), Buffer.from(peer_id as Uint8Array).toString(), Number(min_class))
    return this.#codec.encodeAnswer(api, method, answer)
  }

  /** What the runtime answers to the question for its metadata of this version, a u32: none of versions that it does not have. */
  metadataAt(version: string): string {
    const wanted = Buffer.from(version.slice(2), 'hex')
    if (wanted.byteLength !== 4) {
      throw new Error('unreachable')
    }
    const found = wanted.readUInt32LE() === 15 ? this.metadata : wanted.readUInt32LE() === 14 ? this.metadata14 : undefined
    return found == null ? '0x00' : this.#codec.optionalBytes(found)
  }

  /** Metadata that were changed, and the codec by them: what is stored stays as it is. */
  changeRuntime(change: Parameters<typeof edited>[1]): void {
    this.metadata = edited(this.metadata, change)
    this.metadata14 = edited(this.metadata14, change)
    this.runtimeVersion = { ...this.runtimeVersion, specVersion: this.runtimeVersion.specVersion + 1 }
    this.#codec = new SecondCodec(this.metadata)
  }

  /** What was recorded, under another runtime from now on. */
  become(runtime: RuntimeName): void {
    this.runtime = runtime
    this.metadata = RUNTIMES[runtime].metadata
    this.metadata14 = RUNTIMES[runtime].metadata14
    this.runtimeVersion = { ...this.runtimeVersion, specVersion: this.runtimeVersion.specVersion + 1 }
    this.#codec = new SecondCodec(this.metadata)
    this.storage.clear()
    this.#addRecorded()
  }

  /** A new runtime, of another layout: a node's first peer is optional and named otherwise, so is its address; its owner is a number. */
  upgrade(): void {
    const nodes = [...this.storage.keys()].filter((key) => key.startsWith(this.key('SubnetNodesData')))
    const before = nodes.map((key) => this.#codec.decode(PALLET, 'SubnetNodesData', this.storage.get(key) as string) as NodeValue)
    this.changeRuntime(({ lookup }) => {
      const fieldsOf = (name: string): Array<{ name: string | undefined; type: number }> => {
        const { def } = lookup.find(({ path }) => path.at(-1) === name) ?? {}
        return def?.tag === 'composite' ? def.value : []
      }
      const node = fieldsOf('SubnetNode')
      const optional = node.find(({ name }) => name === 'bootnode_peer_info')?.type
      for (const field of node) {
        if (field.name === 'peer_info') {
          Object.assign(field, { name: 'main_info', type: optional })
        } else if (field.name === 'hotkey') {
          Object.assign(field, { name: 'validator_id', type: node.find(({ name }) => name === 'id')?.type })
        }
      }
      for (const field of fieldsOf('PeerInfo')) {
        field.name = field.name === 'multiaddr' ? 'maddr' : field.name
      }
    })
    for (const [index, key] of nodes.entries()) {
      this.storage.set(key, this.#codec.encode(PALLET, 'SubnetNodesData', upgraded(before[index] as NodeValue)))
    }
  }

  /** The peer that an overwatch node has in a subnet; the one that it had is none of it any more. */
  #setOverwatchPeer(nodeId: number, subnet: number, peerId: string | undefined): void {
    const peers = new Map((this.get('OverwatchNodeIndex', nodeId) ?? []) as Array<[number, Uint8Array]>)
    const before = peers.get(subnet)
    if (before != null) {
      this.storage.delete(this.key('PeerIdOverwatchNodeId', subnet, before))
    }
    peers.delete(subnet)
    if (peerId != null) {
      peers.set(subnet, Buffer.from(peerId))
    }
    this.set('OverwatchNodeIndex', [nodeId], [...peers])
  }

  /** The peers of a node in the fields of the runtime: the earlier one has a place for one address. */
  #peersOfNode([main, bootnode, client]: Array<readonly [string, Uint8Array | undefined] | undefined>): NodeValue {
    if (this.runtime === 'v3') {
      const info = (peer: typeof main): unknown => (peer == null ? undefined : { peer_id: Buffer.from(peer[0]), multiaddr: peer[1] })
      return { peer_info: info(main), bootnode_peer_info: info(bootnode), client_peer_info: info(client) }
    }
    const id = (peer: typeof main): Buffer => Buffer.from(peer?.[0] ?? '')
    return {
      peer_id: id(main),
      bootnode_peer_id: id(bootnode),
      client_peer_id: id(client),
      bootnode: bootnode?.[1] ?? main?.[1] ?? client?.[1],
    }
  }

  /** What was recorded, in the layout of the runtime. */
  #addRecorded(): void {
    if (this.runtime === 'v3') {
      for (const [key, value] of Object.entries(RECORDED.storage)) {
        this.storage.set(key, value)
      }
      return
    }
    this.addSubnet(SUBNET, FRIENDLY_ID)
    for (const [id, { peerId, multiaddr, bootnode }] of Object.entries(RECORDED.nodes)) {
      this.#nextNode = Number(id)
      this.setNode(peerId, multiaddr == null ? undefined : toMultiaddr(multiaddr), {
        nodeClass: 'validator',
        ...(bootnode == null ? {} : { bootnode: [bootnode.peerId, toMultiaddr(bootnode.multiaddr)] }),
      })
    }
    this.#nextNode = 100
    this.setBootnodes(RECORDED.subnetBootnodes.map(([peer, address]) => [peer, toMultiaddr(address).bytes]))
  }
}

/** What every node has that nothing else is said of. */
const TEMPLATE = {
  classification: { node_class: { type: 'Validator' }, start_epoch: 0 },
  delegate_reward_rate: 0n,
  last_delegate_reward_rate_update: 0,
}

function hotkeyOf(nodeId: number): string {
  return `0x${nodeId.toString(16).padStart(40, '0')}`
}

/** As the chain spells it. */
function nameOf(nodeClass: NodeClass): string {
  return nodeClass.charAt(0).toUpperCase() + nodeClass.slice(1)
}

function classIn(node: NodeValue): number {
  const { node_class } = node.classification as { node_class: { type: string } }
  return NODE_CLASSES.findIndex((each) => nameOf(each) === node_class.type)
}

function upgraded({ peer_info, hotkey, ...node }: NodeValue): unknown {
  const renamed = (info: unknown): unknown => {
    const { peer_id, multiaddr } = info as { peer_id: Uint8Array; multiaddr?: Uint8Array }
    return { peer_id, maddr: multiaddr }
  }
  const { bootnode_peer_info, client_peer_info } = node
  return {
    ...node,
    validator_id: Number(String(hotkey).slice(0, 6)),
    main_info: renamed(peer_info),
    bootnode_peer_info: bootnode_peer_info == null ? undefined : renamed(bootnode_peer_info),
    client_peer_info: client_peer_info == null ? undefined : renamed(client_peer_info),
  }
}

/** Every peer that was recorded, with its address; undefined where it has none. */
export function recordedPeers(runtime: RuntimeName = 'v3'): Map<string, string | undefined> {
  const nodes = Object.values(RECORDED.nodes).flatMap(({ peerId, multiaddr, bootnode }) => [
    // the earlier runtime has a place for one address of a node
    [peerId, runtime === 'earlier' && bootnode != null ? undefined : (multiaddr ?? undefined)] as const,
    ...(bootnode == null ? [] : [[bootnode.peerId, bootnode.multiaddr] as const]),
  ])
  return new Map([...nodes, ...RECORDED.subnetBootnodes])
}

/** A peer that is recorded. */
export const NODE_1 = peerIdFromString(RECORDED.nodes['1']?.peerId ?? '')
