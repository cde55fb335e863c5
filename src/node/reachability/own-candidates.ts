import type { Connection, IdentifyResult, PeerId } from '@libp2p/interface'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { isQuic, isRelayed, kindOf } from '../../primitives/address-kind.ts'

export interface OwnCandidatesInit {
  /** Announced addresses of this node. */
  announced(): Multiaddr[]
  /** Addresses of this node's listeners. */
  listening(): Multiaddr[]
  /** Addresses mapped by a router. @default none */
  mapped?: (() => Multiaddr[]) | undefined
  /** True if the remote peer is outside this node's network. */
  isOutside(connection: Connection): boolean
  /** True if outside peers may reach an address of this kind. @default public addresses */
  isCandidate?: ((address: Multiaddr) => boolean) | undefined
}

/** Maximum addresses to test. */
const MAX_CANDIDATES = 6
/** Maximum observed hosts per IP family. The hosts that most peers report are used. */
const MAX_OBSERVED_HOSTS = 2
const MAX_VOICES = 256

interface Port {
  family: string
  transport: string
  port: string
}

/**
 * The addresses at which outside peers may reach this node: its own public addresses, and the observed hosts combined with the listening
 * ports, as for a router with port forwarding. libp2p keeps no observed TCP address, because its port belongs to an outbound connection.
 */
export class OwnCandidates {
  readonly #init: OwnCandidatesInit
  /** The host that each peer observed, with its connection. */
  readonly #voices = new Map<string, { family: string; host: string; connection: Connection }>()

  constructor(init: OwnCandidatesInit) {
    this.#init = init
  }

  /** Records the host that a peer observed. */
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

  /** Removes the observation of a peer, except the last one: a node without connections for a moment has not moved. */
  disconnected(peerId: PeerId): void {
    if (this.#voices.size > 1) {
      this.#voices.delete(peerId.toString())
    }
  }

  /** Call when the interfaces have changed. Removes observations of closed connections. */
  moved(): void {
    for (const [peer, { connection }] of this.#voices) {
      if (connection.status !== 'open') {
        this.#voices.delete(peer)
      }
    }
  }

  /** At most 6 addresses, each without `/p2p`. */
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
    // a name announced by the user may resolve to that host
    const named = own.filter((address) => kindOf(address) === 'name')
    const ports = [...listening, ...named].map(portOf).filter((port) => port != null && (port.family === family || port.family === 'any'))
    return ports.map((port) => `/${family}/${host}/${port?.transport}/${port?.port}${port?.transport === 'udp' ? '/quic-v1' : ''}`)
  }
}

/** Reads the port of a plain TCP or QUIC address. */
function portOf(address: Multiaddr): Port | undefined {
  const [host, transport, ...more] = withoutPeer(address).getComponents()
  const families: Record<string, string> = { ip4: 'ip4', ip6: 'ip6', dns4: 'ip4', dns6: 'ip6', dns: 'any' }
  const family = families[host?.name ?? '']
  const isPlain = (transport?.name === 'tcp' && more.length === 0) || isQuic(withoutPeer(address))
  return family == null || !isPlain || transport?.value == null ? undefined : { family, transport: transport.name, port: transport.value }
}

/** Removes the trailing `/p2p` from an address. */
export function withoutPeer(address: Multiaddr | string): Multiaddr {
  const read = multiaddr(address.toString())
  return read.getComponents().at(-1)?.code === CODE_P2P ? read.decapsulateCode(CODE_P2P) : read
}
