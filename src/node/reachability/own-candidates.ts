import type { Connection, IdentifyResult, PeerId } from '@libp2p/interface'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { isQuic, isRelayed, kindOf } from '../../primitives/address-kind.ts'

export interface OwnCandidatesInit {
  /** What this node announces. */
  announced(): Multiaddr[]
  /** On which its sockets listen. */
  listening(): Multiaddr[]
  /** Addresses that a router gave to this node. @default none */
  mapped?: (() => Multiaddr[]) | undefined
  /** Whether the peer of this connection is outside of this node's network. */
  isOutside(connection: Connection): boolean
  /** Whether peers outside may reach an address of this kind. @default public addresses */
  isCandidate?: ((address: Multiaddr) => boolean) | undefined
}

/** At most so many addresses are asked about. */
const MAX_CANDIDATES = 6
/** Of each family, those that most peers see. */
const MAX_OBSERVED_HOSTS = 2
const MAX_VOICES = 256

interface Port {
  family: string
  transport: string
  port: string
}

/**
 * The addresses at which this node may be reached from outside: its own public ones, and the host that peers see with the ports on which it listens, as where a
 * router forwards the port. libp2p keeps no TCP address that a peer saw, since the port is that of an outgoing connection.
 */
export class OwnCandidates {
  readonly #init: OwnCandidatesInit
  /** The host that each peer sees, and its connection. */
  readonly #voices = new Map<string, { family: string; host: string; connection: Connection }>()

  constructor(init: OwnCandidatesInit) {
    this.#init = init
  }

  /** Notes which host a peer sees. */
  observed({ connection, observedAddr }: Pick<IdentifyResult, 'connection' | 'observedAddr'>): void {
    const [host] = observedAddr?.getComponents() ?? []
    const isHost = host?.value != null && (host.name === 'ip4' || host.name === 'ip6')
    if (observedAddr == null || !isHost || isRelayed(observedAddr) || !this.#init.isOutside(connection)) {
      return
    }
    const peer = connection.remotePeer.toString()
    this.#voices.delete(peer)
    this.#voices.set(peer, { family: host.name, host: host.value ?? '', connection })
    const [oldest] = this.#voices.keys()
    if (this.#voices.size > MAX_VOICES && oldest != null) {
      this.#voices.delete(oldest)
    }
  }

  /** The last voice stays: a node that is connected to nobody for a moment has not moved. */
  disconnected(peerId: PeerId): void {
    if (this.#voices.size > 1) {
      this.#voices.delete(peerId.toString())
    }
  }

  /** The interfaces changed: what was seen over connections that are gone counts no more. */
  moved(): void {
    for (const [peer, { connection }] of this.#voices) {
      if (connection.status !== 'open') {
        this.#voices.delete(peer)
      }
    }
  }

  /** Each without `/p2p`, at most 6. */
  list(): Multiaddr[] {
    const { announced, mapped = () => [], isCandidate = (address) => kindOf(address) === 'public' } = this.#init
    const own = announced().filter((address) => !isRelayed(address))
    const all = [...own, ...mapped(), ...this.#hosts().flatMap((host) => this.#at(host, own))].map(withoutPeer)
    const texts = new Set(all.filter(isCandidate).map(String))
    return [...texts].slice(0, MAX_CANDIDATES).map((text) => multiaddr(text))
  }

  #hosts(): Array<{ family: string; host: string }> {
    const counts = new Map<string, { family: string; host: string; count: number }>()
    for (const { family, host } of this.#voices.values()) {
      const seen = counts.get(host) ?? { family, host, count: 0 }
      seen.count++
      counts.set(host, seen)
    }
    const most = [...counts.values()].sort((a, b) => b.count - a.count)
    return ['ip4', 'ip6'].flatMap((family) => most.filter((each) => each.family === family).slice(0, MAX_OBSERVED_HOSTS))
  }

  #at({ family, host }: { family: string; host: string }, own: Multiaddr[]): string[] {
    const listening = this.#init.listening().filter((address) => kindOf(address) !== 'loopback')
    // a name that the user announces may be that host's
    const named = own.filter((address) => kindOf(address) === 'name')
    const ports = [...listening, ...named].map(portOf).filter((port) => port != null && (port.family === family || port.family === 'any'))
    return ports.map((port) => `/${family}/${host}/${port?.transport}/${port?.port}${port?.transport === 'udp' ? '/quic-v1' : ''}`)
  }
}

/** Of plain TCP, or of QUIC. */
function portOf(address: Multiaddr): Port | undefined {
  const [host, transport, ...more] = withoutPeer(address).getComponents()
  const families: Record<string, string> = { ip4: 'ip4', ip6: 'ip6', dns4: 'ip4', dns6: 'ip6', dns: 'any' }
  const family = families[host?.name ?? '']
  const isPlain = (transport?.name === 'tcp' && more.length === 0) || isQuic(withoutPeer(address))
  return family == null || !isPlain || transport?.value == null ? undefined : { family, transport: transport.name, port: transport.value }
}

/** The same address without the peer that it ends in. */
export function withoutPeer(address: Multiaddr | string): Multiaddr {
  const read = multiaddr(address.toString())
  return read.getComponents().at(-1)?.code === CODE_P2P ? read.decapsulateCode(CODE_P2P) : read
}
