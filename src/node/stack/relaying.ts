import { RELAY_V2_HOP_CODEC } from '@libp2p/circuit-relay-v2'
import type { Connection, IdentifyResult, Libp2p, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../../observe/logger.ts'
import { isRelayed, kindOf } from '../../primitives/address-kind.ts'
import { type Backoff, backoffMs } from '../../primitives/backoff.ts'
import { Deadline } from '../../primitives/deadline.ts'
import type { RelayTransport } from '../adapters/relay-transport.ts'
import type { Whereabouts } from '../dial/meeting.ts'
import type { RelayService } from '../network/relay-service.ts'
import type { Reachability } from '../reachability/reachability.ts'
import type { RelayServer } from './relay-server.ts'

export interface RelayingInit {
  libp2p: Pick<Libp2p, 'dial' | 'getConnections' | 'addEventListener'>
  relays: RelayTransport
  /** Undefined for a client-only node. */
  server: RelayServer | undefined
  service: RelayService
  /** Undefined for a node that listens nowhere. */
  reachability: Pick<Reachability, 'verdict' | 'onVerdict'> | undefined
  /** Returns up to `count` random peers of the address book. */
  acquaintances(count: number): Whereabouts[]
  log: Logger
  now?: () => number
}

/** Number of relays that a node keeps a reservation with. */
const WANTED = 2
/** Retry delays after a relay's refusal. */
const REFUSED: Backoff = { firstMs: 5_000, maxMs: 300_000 }
const MAX_REFUSED = 256
/** Delays before the next search while relays are missing, in milliseconds. Without any relay, the search also dials known peers. */
const LOOK_AGAIN: Backoff = { firstMs: 5_000, maxMs: 300_000 }
const MAX_MET = 4
const MEET_TIMEOUT_MS = 10_000
const MAX_ADDRESSES = 2

/**
 * Controls how a node uses relays. A public node offers the relay service. Any other node keeps reservations with two relays, chosen among
 * its connected peers. Without any relay, it also dials known peers.
 */
export class Relaying {
  readonly #init: RelayingInit
  /** Connected peers that offer the relay service. */
  readonly #offers = new Map<string, PeerId>()
  readonly #refused = new LRUCache<string, { failures: number; untilMs: number }>({ max: MAX_REFUSED })
  #timer: NodeJS.Timeout | undefined
  #unwatch: (() => void) | undefined
  #looking: Promise<void> | undefined
  #isWanted = false
  #inVain = 0

  constructor(init: RelayingInit) {
    this.#init = init
  }

  /** Call before libp2p starts, to see the first identify messages. */
  follow(): void {
    const { libp2p } = this.#init
    libp2p.addEventListener('peer:identify', this.#onIdentify)
    libp2p.addEventListener('peer:disconnect', this.#onDisconnect)
  }

  /** Call once the node listens. Does not wait for a relay. */
  start(): void {
    if (this.#unwatch != null || this.#init.server == null) {
      return
    }
    const { relays, reachability } = this.#init
    relays.addEventListener('lost', this.#onLost)
    this.#unwatch = reachability?.onVerdict(this.#onReach) ?? (() => undefined)
    this.#onReach()
  }

  stop(): void {
    const { relays } = this.#init
    this.#unwatch?.()
    this.#unwatch = undefined
    relays.removeEventListener('lost', this.#onLost)
    this.#lookNoMore()
    relays.release()
  }

  get #isPublic(): boolean {
    const { service, reachability } = this.#init
    return service === 'on' || reachability?.verdict === 'public'
  }

  readonly #onReach = (): void => {
    const { service, server, relays, log } = this.#init
    const offers = service !== 'off' && this.#isPublic
    server?.offer(offers).catch((error) => log.warn('cannot start or stop the relay service', error))
    if (this.#isPublic) {
      this.#lookNoMore()
      relays.release()
    } else {
      this.#look()
    }
  }

  readonly #onIdentify = ({ detail: { peerId, protocols, connection } }: CustomEvent<IdentifyResult>): void => {
    if (isRelayed(connection.remoteAddr)) {
      return
    }
    if (!protocols.includes(RELAY_V2_HOP_CODEC)) {
      this.#offers.delete(peerId.toString())
      // the peer may have been a relay until now; a failed renewal removes the reservation
      void this.#init.relays.refresh(peerId)
    } else if (this.#direct(peerId).length > 0) {
      this.#offers.set(peerId.toString(), peerId)
      this.#look()
    }
  }

  readonly #onDisconnect = ({ detail }: CustomEvent<PeerId>): void => {
    this.#offers.delete(detail.toString())
  }

  readonly #onLost = (): void => {
    this.#lookNoMore()
    this.#look()
  }

  /** Requests reservations until there are enough or no candidates are left. */
  #look(): void {
    this.#isWanted = true
    this.#looking ??= this.#lookWhileWanted().finally(() => {
      this.#looking = undefined
    })
  }

  async #lookWhileWanted(): Promise<void> {
    while (this.#isWanted && this.#isLacking) {
      this.#isWanted = false
      for (const relay of this.#candidates()) {
        if (this.#isLacking) {
          await this.#ask(relay)
        }
      }
    }
    if (this.#isLacking) {
      // identify messages meanwhile do not delay the next search
      this.#timer ??= setTimeout(this.#lookAgain, backoffMs(this.#inVain++, LOOK_AGAIN)).unref()
    } else {
      this.#lookNoMore()
    }
  }

  #lookNoMore(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#inVain = 0
  }

  readonly #lookAgain = (): void => {
    this.#timer = undefined
    this.#look()
    if (this.#init.relays.count === 0) {
      void this.#meetSome()
    }
  }

  get #isLacking(): boolean {
    return this.#unwatch != null && !this.#isPublic && this.#init.relays.count < WANTED
  }

  /** Relays with public addresses first, otherwise in random order, to spread the load. */
  #candidates(): PeerId[] {
    const now = this.#now()
    return [...this.#offers.values()]
      .filter(
        (peer) =>
          !this.#init.relays.has(peer) && this.#direct(peer).length > 0 && (this.#refused.get(peer.toString())?.untilMs ?? 0) <= now,
      )
      .map((peer) => ({ peer, rank: Math.random() + (this.#direct(peer).some(isPublicConnection) ? 0 : 1) }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ peer }) => peer)
  }

  async #ask(relay: PeerId): Promise<void> {
    const { relays, log } = this.#init
    const name = relay.toString()
    try {
      await relays.reserve(relay)
      this.#refused.delete(name)
      log.info('this node is reached over a relay', undefined, { relay: name })
    } catch (error) {
      if (this.#direct(relay).length === 0) {
        // the relay is asked again after it reconnects
        return
      }
      const failures = this.#refused.get(name)?.failures ?? 0
      this.#refused.set(name, { failures: failures + 1, untilMs: this.#now() + backoffMs(failures, REFUSED) })
      log.debug('a relay granted no reservation to this node', error, { relay: name })
    }
  }

  /** Dials some known peers with public addresses, because one of them may be a relay. */
  async #meetSome(): Promise<void> {
    const { acquaintances, libp2p, log } = this.#init
    const strangers = acquaintances(2 * MAX_MET)
      .filter(({ peerId }) => this.#direct(peerId).length === 0)
      .map(({ multiaddrs }) => multiaddrs.filter(isPublicAddress).slice(0, MAX_ADDRESSES))
      .filter(({ length }) => length > 0)
    using deadline = new Deadline(MEET_TIMEOUT_MS)
    const tries = strangers.slice(0, MAX_MET).map(async (addresses) => libp2p.dial(addresses, { signal: deadline.signal }))
    const met = await Promise.allSettled(tries)
    const count = met.filter(({ status }) => status === 'fulfilled').length
    log.debug('peers of the address book were asked for a relay', undefined, { met: count })
  }

  #direct(peer: PeerId): Connection[] {
    return this.#init.libp2p.getConnections(peer).filter(({ remoteAddr, status }) => status === 'open' && !isRelayed(remoteAddr))
  }

  #now(): number {
    return (this.#init.now ?? Date.now)()
  }
}

function isPublicConnection({ remoteAddr }: Connection): boolean {
  return kindOf(remoteAddr) === 'public'
}

function isPublicAddress(address: Multiaddr): boolean {
  return !isRelayed(address) && ['public', 'name'].includes(kindOf(address))
}
