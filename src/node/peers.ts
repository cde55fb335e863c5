import type { Connection, IdentifyResult, Peer, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { BookEntry } from '../gossip/book-entry.ts'
import { addressesOf } from '../primitives/address.ts'
import { Deadline } from '../primitives/deadline.ts'
import type { AddressSource } from '../resolve/tier.ts'
import { hasPassingAddress } from './dial/passing-address.ts'
import type { Network } from './network/network.ts'
import { networkOf } from './network/network-of.ts'
import type { NodeParts } from './node-parts.ts'

/** A peer that is connected or in the address book. */
export interface KnownPeer {
  peerId: PeerId
  connection: Connection | undefined
  agent: string | undefined
  protocols: string[]
  multiaddrs: Multiaddr[]
  source: AddressSource
  /** Undefined if unknown. */
  network: Network | undefined
  entry: BookEntry | undefined
}

/** Called when a peer connects or disconnects. */
export interface PeersListener {
  onConnect(peer: { peerId: string; multiaddr: string; direction: 'inbound' | 'outbound' }): void
  onDisconnect(peer: { peerId: string }): void
}

/** Maximum wait for a peer's identify message, in milliseconds. */
const IDENTIFY_MS = 2_000
const AGENT_KEY = 'AgentVersion'

/** Tracks the peers of a node, both connected peers and peers in its address book. */
export class Peers {
  readonly #parts: NodeParts
  readonly #listener: PeersListener
  /** The protocols that each connection's remote peer serves, from identify. */
  readonly #served = new WeakMap<Connection, ReadonlySet<string>>()
  /** Peers whose connect event was emitted. */
  readonly #connected = new Set<string>()

  constructor(parts: NodeParts, listener: PeersListener) {
    this.#parts = parts
    this.#listener = listener
  }

  start(): void {
    const { libp2p } = this.#parts
    libp2p.addEventListener('peer:connect', this.#onConnect)
    libp2p.addEventListener('peer:disconnect', this.#onDisconnect)
    libp2p.addEventListener('peer:identify', this.#onIdentify)
    libp2p.addEventListener('connection:close', this.#onClose)
  }

  stop(): void {
    const { libp2p } = this.#parts
    libp2p.removeEventListener('peer:connect', this.#onConnect)
    libp2p.removeEventListener('peer:disconnect', this.#onDisconnect)
    libp2p.removeEventListener('peer:identify', this.#onIdentify)
    libp2p.removeEventListener('connection:close', this.#onClose)
  }

  /** False for a peer that the door refuses. */
  admits(peerId: PeerId): boolean {
    return this.#parts.door?.refusalOf(peerId) == null
  }

  /** The protocols that the remote peer serves on this connection. Undefined before its identify message. */
  servedOn(connection: Connection): ReadonlySet<string> | undefined {
    return this.#served.get(connection)
  }

  /** The protocols of a peer. Waits up to 2 seconds for the identify message of a new connection. @throws the signal's reason */
  async protocolsOf(peerId: PeerId, signal: AbortSignal | undefined): Promise<string[]> {
    const { libp2p } = this.#parts
    const identified = Promise.withResolvers<void>()
    const onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => (detail.peerId.equals(peerId) ? identified.resolve() : undefined)
    libp2p.addEventListener('peer:identify', onIdentify)
    try {
      const stored = async (): Promise<Peer | undefined> => libp2p.peerStore.get(peerId).catch(() => undefined)
      const known = await stored()
      // the stored protocols prove nothing: libp2p also stores the protocol of each stream it opens, including identify
      if (known?.metadata.has(AGENT_KEY) === true || libp2p.getConnections(peerId).length === 0) {
        return known?.protocols ?? []
      }
      // new connection: identify is in progress
      using deadline = new Deadline(IDENTIFY_MS, signal)
      await deadline.race(identified.promise).catch(() => signal?.throwIfAborted())
      return (await stored())?.protocols ?? []
    } finally {
      libp2p.removeEventListener('peer:identify', onIdentify)
    }
  }

  /** Lists connected peers. With `all`, includes the peers of the address book. */
  async list({ all = false }: { all?: boolean } = {}): Promise<KnownPeer[]> {
    const { libp2p, book } = this.#parts
    const connected = await Promise.all(
      libp2p
        .getPeers()
        .filter((peerId) => this.admits(peerId))
        .map(async (peerId) => this.describe(peerId)),
    )
    const known = all ? book.list().filter(({ peerId }) => !connected.some((peer) => peer.peerId.equals(peerId))) : []
    return [
      ...connected,
      ...known.map((entry) => ({
        peerId: entry.peerId,
        connection: undefined,
        agent: undefined,
        protocols: [],
        multiaddrs: entry.multiaddrs,
        source: entry.origin,
        network: entry.verified != null ? ('template' as const) : undefined,
        entry,
      })),
    ]
  }

  /** Describes a connected peer. Its addresses are those that were dialled, or those that the peer signed. */
  async describe(peerId: PeerId): Promise<KnownPeer> {
    const { libp2p, dialler, book } = this.#parts
    const connections = dialler.connectionsTo(peerId)
    const stored = await libp2p.peerStore.get(peerId).catch(() => undefined)
    const entry = book.get(peerId)
    const dialled = connections
      .filter((each) => each.direction === 'outbound' && !hasPassingAddress(each))
      .map(({ remoteAddr }) => remoteAddr)
    const fresh = entry != null && book.isFresh(entry) ? entry.multiaddrs : []
    const told = entry?.verified === false
    const certified = (stored?.addresses ?? []).filter(({ isCertified }) => isCertified).map(({ multiaddr }) => multiaddr)
    const multiaddrs = [dialled, told ? [] : fresh, certified, fresh].find(({ length }) => length > 0)
    const agent = stored?.metadata.get(AGENT_KEY)
    return {
      peerId,
      connection: connections[0],
      agent: agent == null ? undefined : new TextDecoder().decode(agent),
      protocols: stored?.protocols ?? [],
      multiaddrs: addressesOf(peerId, multiaddrs ?? [], Number.POSITIVE_INFINITY),
      source: 'connected',
      network: networkOf(stored?.protocols ?? []),
      entry,
    }
  }

  /** A peer that refuses this node causes no event yet. When it admits this node, it answers identify, and the event follows. */
  readonly #onConnect = ({ detail: peerId }: CustomEvent<PeerId>): void => {
    if (!this.#parts.refused.isRefused(peerId, 'them')) {
      this.#tellOfConnection(peerId)
    }
  }

  #tellOfConnection(peerId: PeerId): void {
    const connection = this.#parts.dialler.connectionsTo(peerId)[0]
    if (connection != null && this.admits(peerId) && !this.#connected.has(peerId.toString())) {
      const { direction, remoteAddr } = connection
      this.#connected.add(peerId.toString())
      this.#listener.onConnect({ peerId: peerId.toString(), multiaddr: addressesOf(peerId, [remoteAddr], 1).join(), direction })
    }
  }

  readonly #onDisconnect = ({ detail: peerId }: CustomEvent<PeerId>): void => {
    if (this.#connected.delete(peerId.toString())) {
      this.#listener.onDisconnect({ peerId: peerId.toString() })
    }
  }

  /** The lifetime of a dialled address in the book begins at the end of its connection. */
  readonly #onClose = ({ detail: { remotePeer, remoteAddr, direction } }: CustomEvent<Connection>): void => {
    const { book, note } = this.#parts
    if (direction === 'outbound') {
      note(async () => book.markSeen(remotePeer, addressesOf(remotePeer, [remoteAddr], 1)[0]))
    }
  }

  readonly #onIdentify = ({ detail: { connection, protocols } }: CustomEvent<IdentifyResult>): void => {
    this.#parts.refused.admitted(connection.remotePeer, 'them')
    this.#tellOfConnection(connection.remotePeer)
    this.#served.set(connection, new Set(protocols))
    this.#parts.otherNetwork.meet(connection.remotePeer, protocols)
  }
}
