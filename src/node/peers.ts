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

/** A peer that is connected, or that the address book knows. */
export interface KnownPeer {
  peerId: PeerId
  connection: Connection | undefined
  agent: string | undefined
  protocols: string[]
  multiaddrs: Multiaddr[]
  source: AddressSource
  /** Undefined where it is not known. */
  network: Network | undefined
  entry: BookEntry | undefined
}

/** Told when a peer comes and when it goes. */
export interface PeersListener {
  onConnect(peer: { peerId: string; multiaddr: string; direction: 'inbound' | 'outbound' }): void
  onDisconnect(peer: { peerId: string }): void
}

/** How long a peer may take to tell what it speaks. */
const IDENTIFY_MS = 2_000
const AGENT_KEY = 'AgentVersion'

/** The peers of a node, connected ones and those of its address book: who they are, what they speak, when they come and go. */
export class Peers {
  readonly #parts: NodeParts
  readonly #listener: PeersListener
  /** What the other sides of connections told to serve. */
  readonly #served = new WeakMap<Connection, ReadonlySet<string>>()
  /** The peers whose connection was told of. */
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
  }

  stop(): void {
    const { libp2p } = this.#parts
    libp2p.removeEventListener('peer:connect', this.#onConnect)
    libp2p.removeEventListener('peer:disconnect', this.#onDisconnect)
    libp2p.removeEventListener('peer:identify', this.#onIdentify)
  }

  /** False for a peer that the door does not let in. */
  admits(peerId: PeerId): boolean {
    return this.#parts.door?.refusalOf(peerId) == null
  }

  /** The protocols that the other side of a connection told to serve; undefined before it told. */
  servedOn(connection: Connection): ReadonlySet<string> | undefined {
    return this.#served.get(connection)
  }

  /** The protocols of a peer; one that was connected just now is waited for, within its 2 seconds. @throws the signal's reason */
  async protocolsOf(peerId: PeerId, signal: AbortSignal | undefined): Promise<string[]> {
    const { libp2p } = this.#parts
    const identified = Promise.withResolvers<void>()
    const onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => (detail.peerId.equals(peerId) ? identified.resolve() : undefined)
    libp2p.addEventListener('peer:identify', onIdentify)
    try {
      const stored = async (): Promise<Peer | undefined> => libp2p.peerStore.get(peerId).catch(() => undefined)
      const known = await stored()
      // its protocols alone do not tell: libp2p notes that of each stream which it opens, and so that of identify itself
      if (known?.metadata.has(AGENT_KEY) === true || libp2p.getConnections(peerId).length === 0) {
        return known?.protocols ?? []
      }
      // a connection that is new: the peer is being asked
      using deadline = new Deadline(IDENTIFY_MS, signal)
      await deadline.race(identified.promise).catch(() => signal?.throwIfAborted())
      return (await stored())?.protocols ?? []
    } finally {
      libp2p.removeEventListener('peer:identify', onIdentify)
    }
  }

  /** Connected peers; with `all` also those that the address book knows. */
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

  /** A connected peer; its addresses are those that it was dialled at or that it signed. */
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

  /** One that refuses this node is told of again when it lets it in: it answers identify then. */
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

  readonly #onIdentify = ({ detail: { connection, protocols } }: CustomEvent<IdentifyResult>): void => {
    this.#parts.refused.admitted(connection.remotePeer, 'them')
    this.#tellOfConnection(connection.remotePeer)
    this.#served.set(connection, new Set(protocols))
    this.#parts.otherNetwork.meet(connection.remotePeer, protocols)
  }
}
