import { readFileSync } from 'node:fs'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import { getDynamicBuilder, getLookupFn } from '@polkadot-api/metadata-builders'
import { decAnyMetadata, metadata as metadataCodec, unifyMetadata } from '@polkadot-api/substrate-bindings'
import { NODE_CLASSES, type NodeClass } from '../../src/chain/registry.ts'

const FOLDER = new URL('../fixtures/hypertensor/', import.meta.url)

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

export const RECORDED: Recorded = JSON.parse(readFileSync(new URL('state.json', FOLDER), 'utf8'))
export const RECORDED_METADATA = readFileSync(new URL('metadata-v14.hex', FOLDER), 'utf8').trim()
export const SUBNET = RECORDED.subnetId

/** A node as the codecs of the chain take it: its fields depend on the metadata. */
type NodeValue = Record<string, unknown> & { peer_info: { peer_id: Uint8Array; multiaddr?: Uint8Array | undefined } }

/** The state of a stand-in chain: what was recorded, and what a test makes of it. */
export class HypertensorState {
  readonly storage = new Map(Object.entries(RECORDED.storage))
  genesisHash = RECORDED.genesisHash
  metadata = RECORDED_METADATA
  runtimeVersion: Record<string, unknown> & { specVersion: number } = { ...RECORDED.runtimeVersion }
  block = Number(RECORDED.header.number)
  readonly #stake = new Map(Object.entries(RECORDED.proofOfStake))
  readonly #classes = new Map<string, number>()
  #builder = builderOf(RECORDED_METADATA)
  #nextNode = 100

  /** Without subnets and nodes. */
  static empty(): HypertensorState {
    const state = new HypertensorState()
    state.storage.clear()
    state.#stake.clear()
    return state
  }

  /** A key of the pallet. */
  key(map: string, ...args: unknown[]): string {
    return this.#map(map).keys.enc(...args)
  }

  set(map: string, args: unknown[], value: unknown): void {
    this.storage.set(this.key(map, ...args), hexOf(this.#map(map).value.enc(value)))
  }

  get(map: string, ...args: unknown[]): unknown {
    const value = this.storage.get(this.key(map, ...args))
    return value == null ? undefined : this.#map(map).value.dec(value)
  }

  /** Gives a peer a node, or another address to the one that it has. @returns the node's id */
  setNode(peerId: string, multiaddr: Multiaddr | Uint8Array | undefined, { subnet = SUBNET, map = 'SubnetNodesData' } = {}): number {
    const known = this.nodeOf(peerId, subnet)
    const id = known ?? this.#nextNode++
    if (known == null) {
      this.count('TotalSubnetNodes', 1, subnet)
      this.count('TotalSubnetNodeUids', 1, subnet)
    }
    const template = this.get('SubnetNodesData', SUBNET, 1) ?? TEMPLATE
    const bytes = multiaddr == null || multiaddr instanceof Uint8Array ? multiaddr : multiaddr.bytes
    const node = { ...(template as NodeValue), id, peer_info: { peer_id: Buffer.from(peerId), multiaddr: bytes } }
    this.set('PeerIdSubnetNodeId', [subnet, Buffer.from(peerId)], id)
    this.set(map, [subnet, id], node)
    return id
  }

  /** The id of the node whose main peer this is. */
  nodeOf(peerId: string, subnet = SUBNET): number | undefined {
    return this.get('PeerIdSubnetNodeId', subnet, Buffer.from(peerId)) as number | undefined
  }

  /** Adds to a count of the pallet. */
  count(map: string, by: number, ...args: unknown[]): void {
    this.set(map, args, Number(this.get(map, ...args) ?? 0) + by)
  }

  removeNode(peerId: string, subnet = SUBNET): void {
    this.count('TotalSubnetNodes', -1, subnet)
    this.storage.delete(this.key('SubnetNodesData', subnet, this.nodeOf(peerId, subnet)))
    this.storage.delete(this.key('PeerIdSubnetNodeId', subnet, Buffer.from(peerId)))
  }

  setBootnodes(peers: Array<[string, Uint8Array]>, subnet = SUBNET): void {
    this.set(
      'SubnetBootnodes',
      [subnet],
      peers.map(([peer, address]) => [Buffer.from(peer), address]),
    )
  }

  /** The peer of an overwatch node, which is made; undefined takes its peer out. */
  setOverwatchPeer(id: number, peerId: string | undefined, subnet = SUBNET): void {
    const before = (this.get('OverwatchNodeIndex', id) ?? []) as Array<[number, Uint8Array]>
    if (this.get('OverwatchNodeIdHotkey', id) == null) {
      this.set('OverwatchNodeIdHotkey', [id], TEMPLATE.hotkey)
      this.set('OverwatchNodes', [id], { id, hotkey: TEMPLATE.hotkey })
      this.count('TotalOverwatchNodes', 1)
      this.count('TotalOverwatchNodeUids', 1)
    }
    for (const [, peer] of before.filter(([where]) => where === subnet)) {
      this.storage.delete(this.key('PeerIdOverwatchNodeId', subnet, peer))
    }
    const others = before.filter(([where]) => where !== subnet)
    const own: typeof before = peerId == null ? [] : [[subnet, Buffer.from(peerId)]]
    this.set('OverwatchNodeIndex', [id], [...others, ...own])
    for (const [, peer] of own) {
      this.set('PeerIdOverwatchNodeId', [subnet, peer], id)
    }
  }

  /** Lets `network_proofOfStake` say this; undefined for a peer that is not registered. */
  setClass(peerId: string, nodeClass: NodeClass | undefined, subnet = SUBNET): void {
    this.#classes.set(`${subnet}/${peerId}`, nodeClass == null ? -1 : NODE_CLASSES.indexOf(nodeClass))
  }

  proofOfStake(subnet: number, peerId: string, minClass: number): boolean {
    const nodeClass = this.#classes.get(`${subnet}/${peerId}`)
    return nodeClass != null ? nodeClass >= minClass : subnet === SUBNET && this.#stake.get(`${peerId}/${minClass}`) === true
  }

  /** A new runtime, of another layout: a node's first peer is optional and named otherwise, so is its address; its owner is a number. */
  upgrade(): void {
    const decoded = metadataCodec.dec(this.metadata)
    if (decoded.metadata.tag !== 'v14') {
      throw new Error('the recorded metadata are of version 14')
    }
    const fieldsOf = (name: string): Array<{ name: string | undefined; type: number }> => {
      const { def } = decoded.metadata.tag === 'v14' ? (decoded.metadata.value.lookup.find(({ path }) => path.at(-1) === name) ?? {}) : {}
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
      if (field.name === 'multiaddr') {
        field.name = 'maddr'
      }
    }
    const nodes = [...this.storage.keys()].filter((key) => key.startsWith(this.key('SubnetNodesData')))
    const before = nodes.map((key) => this.#map('SubnetNodesData').value.dec(this.storage.get(key) as string) as NodeValue)
    this.metadata = hexOf(metadataCodec.enc(decoded))
    this.runtimeVersion = { ...this.runtimeVersion, specVersion: this.runtimeVersion.specVersion + 1 }
    this.#builder = builderOf(this.metadata)
    for (const [index, key] of nodes.entries()) {
      this.storage.set(key, hexOf(this.#map('SubnetNodesData').value.enc(upgraded(before[index] as NodeValue))))
    }
  }

  #map(name: string): ReturnType<ReturnType<typeof builderOf>['buildStorage']> {
    return this.#builder.buildStorage('Network', name)
  }
}

/** A node as the chain has it when nothing was recorded. */
const TEMPLATE = {
  hotkey: '0x317D7a5a2ba5787A99BE4693Eb340a10C71d680b',
  classification: { node_class: { type: 'Validator', value: undefined }, start_epoch: 0 },
  delegate_reward_rate: 0n,
  last_delegate_reward_rate_update: 0,
}

interface Info {
  peer_id: Uint8Array
  multiaddr?: Uint8Array
}

function upgraded({ peer_info, hotkey, ...node }: NodeValue): unknown {
  const renamed = (info: unknown): unknown => {
    const { peer_id, multiaddr } = info as Info
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

function builderOf(metadata: string) {
  return getDynamicBuilder(getLookupFn(unifyMetadata(decAnyMetadata(metadata))))
}

function hexOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`
}

/** Every peer that was recorded, with its address; undefined where it has none. */
export function recordedPeers(): Map<string, string | undefined> {
  const nodes = Object.values(RECORDED.nodes).flatMap(({ peerId, multiaddr, bootnode }) => [
    [peerId, multiaddr ?? undefined] as const,
    ...(bootnode == null ? [] : [[bootnode.peerId, bootnode.multiaddr] as const]),
  ])
  return new Map([...nodes, ...RECORDED.subnetBootnodes])
}

/** A peer that is recorded. */
export const NODE_1 = peerIdFromString(RECORDED.nodes['1']?.peerId ?? '')
