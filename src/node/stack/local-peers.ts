import type { PeerId, PeerInfo, Startable } from '@libp2p/interface'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import type { Multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../../observe/logger.ts'
import { addressesOf } from '../../primitives/address.ts'
import { kindOf } from '../../primitives/address-kind.ts'
import { reasonOf } from '../../primitives/errors.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'
import type { Candidate } from '../../resolve/tier.ts'
import type { LocalSource } from '../../resolve/tiers/local.ts'
import type { Whereabouts } from '../dial/meeting.ts'

/** The used members of `@libp2p/mdns`. Its handlers are public and are read when it starts. */
interface MulticastDns extends Startable, Pick<EventTarget, 'addEventListener'> {
  _onMdnsQuery(packet: unknown, from?: { address: string }): void
  _onMdnsResponse(packet: unknown, from?: { address: string }): void
  _onMdnsWarning(error: NodeJS.ErrnoException): void
  _onMdnsError(error: NodeJS.ErrnoException): void
  mdns?: { query(packet: { questions: Array<{ name: string; type: 'PTR' }> }, done: (error?: Error | null) => void): void } | undefined
}

/** Service name of all libp2p nodes (https://github.com/libp2p/specs/blob/master/discovery/mdns.md). */
const SERVICE = '_p2p._udp.local'
/** Maximum remembered peers, and addresses of each. */
const MAX_PEERS = 256
const MAX_ADDRESSES = 16
/** How long a peer's announcement is valid, in milliseconds: mDNS's lifetime of such a record. */
const COUNTS_FOR_MS = 120_000
/** Rate limits of received packets, per host and in total. A peer sends a query every 10 seconds, and all others answer it. */
const RATES = { host: { burst: 20, refillMs: 500 }, all: { burst: 600, refillMs: 10 } }
const MAX_HOSTS = 1_024

export interface LocalPeersInit {
  log: Logger
  /** Called when a new peer is found. */
  onFound?: (() => void) | undefined
}

/**
 * Discovers peers of the local network by mDNS. Peers are remembered but not dialled. Their announcements are unsigned, so a connection has
 * to confirm them. Only private addresses are announced and accepted.
 */
export class LocalPeers implements Startable, LocalSource {
  readonly #log: Logger
  readonly #onFound: () => void
  readonly #heard = new LRUCache<string, Whereabouts & { atMs: number }>({ max: MAX_PEERS, ttl: COUNTS_FOR_MS })
  readonly #rates = new TokenBuckets({ maxKeys: MAX_HOSTS })
  #components: MulticastDNSComponents | undefined
  #service: MulticastDns | undefined
  #complaint: string | undefined

  constructor({ log, onFound = () => undefined }: LocalPeersInit) {
    this.#log = log
    this.#onFound = onFound
  }

  /** Returns itself as a service of the stack. */
  service({ addressManager, logger }: MulticastDNSComponents): this {
    this.#components = { addressManager, logger }
    return this
  }

  heardFrom(peerId: PeerId): Candidate | undefined {
    const heard = this.#heard.get(peerId.toString())
    return heard == null
      ? undefined
      : {
          multiaddrs: heard.multiaddrs,
          source: 'local',
          verified: false,
          seq: 0n,
          ageMs: Date.now() - heard.atMs,
          namedOver: 'private',
          detail: 'heard on this network',
        }
  }

  /** Returns some of the peers, the latest heard first. */
  some(count: number): Whereabouts[] {
    return [...this.#heard.values()].slice(0, count)
  }

  async start(): Promise<void> {
    const components = this.#components as MulticastDNSComponents
    // loaded lazily
    const { mdns } = await import('@libp2p/mdns')
    const service = mdns({ serviceTag: SERVICE })(components) as unknown as MulticastDns
    const { _onMdnsQuery: onQuery, _onMdnsResponse: onResponse } = service
    service._onMdnsQuery = (packet, from) => (this.#mayRead(from) ? onQuery(packet) : undefined)
    service._onMdnsResponse = (packet, from) => (this.#mayRead(from) ? onResponse(packet) : undefined)
    service._onMdnsWarning = this.#complain
    service._onMdnsError = this.#complain
    service.addEventListener('peer', (event) => this.#hear((event as CustomEvent<PeerInfo>).detail))
    this.#service = service
    await service.start()
    // the library ignores errors of its own queries
    service.mdns?.query({ questions: [{ name: SERVICE, type: 'PTR' }] }, (error) => (error == null ? undefined : this.#complain(error)))
  }

  async stop(): Promise<void> {
    await this.#service?.stop()
    this.#service = undefined
  }

  #hear({ id, multiaddrs }: PeerInfo): void {
    const near = addressesOf(id, multiaddrs.filter(isPrivate), MAX_ADDRESSES)
    const key = id.toString()
    if (near.length > 0) {
      const isNew = !this.#heard.has(key)
      this.#heard.set(key, { peerId: id, multiaddrs: near, atMs: Date.now() })
      if (isNew) {
        this.#log.debug('a peer was heard on the local network', undefined, { peer: id })
        this.#onFound()
      }
    }
  }

  #mayRead({ address = '' }: { address?: string } = {}): boolean {
    return this.#rates.take(`host ${address}`, RATES.host) && this.#rates.take('all', RATES.all)
  }

  /** Logs each reason once, because the library's query fails every 10 seconds. */
  readonly #complain = (error: NodeJS.ErrnoException): void => {
    const reason = reasonOf(error)
    if (reason !== this.#complaint) {
      this.#complaint = reason
      this.#log.warn('mDNS does not work on the local network: it needs UDP port 5353 and a route for multicast (224.0.0.0/4)', reason)
    }
  }
}

function isPrivate(address: Multiaddr): boolean {
  return kindOf(address) === 'private'
}
