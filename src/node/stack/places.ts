import type { Connection, ConnectionGater, Libp2p, MultiaddrConnection, PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { TokenBuckets } from '../../primitives/token-bucket.ts'
import { Descriptors } from './descriptors.ts'
import { compareRanks, isInUse, type Open, type PlaceLimit, rankOf } from './displacement.ts'
import { type Host, Hosts } from './hosts.ts'
import { remoteHostOf } from './remote-host.ts'

export interface PlacesInit {
  /** Maximum open inbound connections per IPv4 address or IPv6 /64. @default 150, without a limit for loopback */
  maxPerIp: number | undefined
  /** Maximum open connections of the node, inbound and outbound. @default 300 */
  maxOpen?: number
  /** Maximum inbound connections in their handshake. @default 200 */
  maxPending?: number
  /** Creates a test for peers that strangers must not displace. The test is used at once and then discarded. */
  keeps?: () => (peerId: PeerId) => boolean
  /** @default the descriptors of this process */
  descriptors?: Pick<Descriptors, 'open' | 'limit' | 'areShort'>
  now?: () => number
  /** Called for each connection that is refused, cut or closed for its place, with the host and the limit reached. */
  onLimit?: ((host: string, limit: PlaceLimit, reason: string) => void) | undefined
}

/** The places of a node now, and counts since its start. */
export interface PlacesState {
  open: number
  maxOpen: number
  pending: number
  maxPending: number
  maxPerIp: number
  /** The host with the most inbound connections, open and pending together. */
  largest: { ip: string; open: number; pending: number } | undefined
  /** Inbound connections that were refused or cut in their handshake. */
  turnedAway: number
  /** Idle connections that were closed to make room. */
  displaced: number
  /**
   * When the node last refused a connection because all its places were taken, in Unix milliseconds. Refusals of the host that itself fills
   * the node or its own share do not count.
   */
  refusedAtMs: number | undefined
  /** Set while too few file descriptors are left to accept connections. */
  descriptors: { open: number; limit: number } | undefined
}

interface Pending {
  connection: MultiaddrConnection
  host: Host
  sinceMs: number
}

/** libp2p's own default. */
const MAX_OPEN = 300
const MAX_PENDING = 200
/**
 * Half of the places. A NAT may hide 100 shells that call at once (`xargs -P 100`) and 50 nodes, and one host still cannot fill the node.
 */
const MAX_PER_IP = MAX_OPEN / 2
/** The part of a share that pending handshakes may use: 100 of 150. */
const PENDING_SHARE = 2 / 3
/** Handshake timeout while more than half of the pending places are taken: six round trips of 500 ms. libp2p's timeout is 10 s. */
const PRESSED_MS = 3_000
const LOOK_EVERY_MS = 500
/**
 * After this idle time, in milliseconds, a connection may be displaced by any host. With a shorter time, peers could displace each other
 * endlessly.
 */
const REST_MS = 60_000
/** A third of the places, so a node that calls many peers keeps room for newcomers. */
const MAX_CALLED = MAX_OPEN / 3
/** Inbound connections per host: 200 per second. libp2p has the same limit, but per IPv6 address. */
const RATE = { burst: 200, refillMs: 5 }
const MAX_RATES = 10_000
/**
 * Allocates the connection places of a node, so that no host can lock out all others.
 *
 * Each host may hold a share of the inbound places. When all pending places are taken, the host with the most handshakes loses its oldest
 * one. When all open places are taken, an idle connection is closed, starting with the host that has the most connections. An outbound
 * connection takes a place, but is never refused.
 *
 * libp2p's own limits refuse every newcomer once they are reached, so `limits` disables them.
 */
export class Places {
  readonly #init: Required<Omit<PlacesInit, 'maxPerIp' | 'onLimit'>> & Pick<PlacesInit, 'onLimit'> & { maxPerIp: number }
  readonly #hosts: Hosts
  /** Oldest first. */
  readonly #pending = new Map<MultiaddrConnection, Pending>()
  readonly #open = new Map<Connection, Open>()
  readonly #called = new LRUCache<string, true>({ max: MAX_CALLED })
  readonly #rates: TokenBuckets
  #turnedAway = 0
  #displaced = 0
  #refusedAtMs: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(init: PlacesInit) {
    const { maxPerIp, maxOpen = MAX_OPEN, maxPending = MAX_PENDING, keeps = () => () => false, now = Date.now } = init
    const { descriptors = new Descriptors(), onLimit } = init
    this.#init = { maxPerIp: maxPerIp ?? MAX_PER_IP, maxOpen, maxPending, keeps, now, descriptors, onLimit }
    this.#hosts = new Hosts({ countLocal: maxPerIp != null })
    this.#rates = new TokenBuckets({ maxKeys: MAX_RATES, now })
  }

  /** Limits for libp2p's connection manager. */
  readonly limits = { maxConnections: Number.POSITIVE_INFINITY, maxIncomingPendingConnections: Number.POSITIVE_INFINITY }

  /** Called by libp2p before and after the handshake of each inbound connection. */
  readonly gater = {
    denyInboundConnection: (connection: MultiaddrConnection) => !this.#arrive(connection),
    denyInboundUpgradedConnection: (_: PeerId, connection: MultiaddrConnection) => {
      this.#leavePending(connection)
      return false
    },
  } satisfies ConnectionGater

  /** True if too few file descriptors are left to open connections. */
  get isOutOfDescriptors(): boolean {
    return this.#init.descriptors.areShort
  }

  get state(): PlacesState {
    const { maxOpen, maxPending, maxPerIp, descriptors } = this.#init
    const largest = this.#hosts.greediest(({ open, pending }) => open + pending)
    return {
      open: this.#open.size,
      maxOpen,
      pending: this.#pending.size,
      maxPending,
      maxPerIp,
      largest: largest == null ? undefined : { ip: largest.name, open: largest.open, pending: largest.pending },
      turnedAway: this.#turnedAway,
      displaced: this.#displaced,
      refusedAtMs: this.#refusedAtMs,
      descriptors: descriptors.areShort ? { open: descriptors.open, limit: descriptors.limit ?? 0 } : undefined,
    }
  }

  /** Call before libp2p starts. */
  follow(libp2p: Pick<Libp2p, 'addEventListener'>): void {
    libp2p.addEventListener('connection:open', ({ detail }) => this.#onOpen(detail))
    libp2p.addEventListener('connection:close', ({ detail }) => this.#onClose(detail))
  }

  /** Records that the user calls a peer. Strangers no longer displace this peer. */
  called(peerId: PeerId): void {
    this.#called.set(peerId.toString(), true)
  }

  #arrive(connection: MultiaddrConnection): boolean {
    if (connection.status !== 'open') {
      return false
    }
    const host = this.#hosts.of(connection)
    const limit = this.#limitFor(host)
    if (limit != null) {
      this.#turnedAway++
      this.#init.onLimit?.(host.name, limit, 'the connection was refused')
      this.#hosts.forgetIfEmpty(host)
      return false
    }
    host.pending++
    this.#pending.set(connection, { connection, host, sinceMs: this.#init.now() })
    connection.addEventListener('close', () => this.#leavePending(connection), { once: true })
    this.#lookSoon()
    return true
  }

  /** The limit that denies this host another connection. Undefined if there is room. */
  #limitFor(host: Host): PlaceLimit | undefined {
    const outer = this.isOutOfDescriptors ? 'open files' : this.#rates.take(host.name, RATE) ? undefined : 'connection rate'
    return outer ?? this.#openLimitFor(host) ?? this.#pendingLimitFor(host)
  }

  /** Undefined if an open place is free or can be freed. */
  #openLimitFor(host: Host): PlaceLimit | undefined {
    const { maxOpen } = this.#init
    const mayDisplace = (open: Open): boolean => this.#yields(open, host.open + 1)
    if (host.open >= this.#shareOf(host) && !this.#idle().some((open) => open.host === host && mayDisplace(open))) {
      return 'places of a host'
    }
    if (this.#open.size >= maxOpen && !this.#idle().some(mayDisplace)) {
      this.#noteRefusal(host)
      return 'open places'
    }
    return undefined
  }

  /** Undefined if a pending place is free or was freed. */
  #pendingLimitFor(host: Host): PlaceLimit | undefined {
    if (host.pending >= Math.ceil(this.#shareOf(host) * PENDING_SHARE)) {
      return 'places of a host'
    }
    if (this.#pending.size < this.#init.maxPending) {
      return undefined
    }
    const greediest = this.#hosts.greediest(({ pending }) => pending)
    if (greediest == null || greediest.pending <= host.pending) {
      this.#noteRefusal(host)
      return 'handshakes'
    }
    const oldest = [...this.#pending.values()].find((pending) => pending.host === greediest)
    this.#cut(oldest, `${greediest.name} has most of the pending places, and another needs one`)
    return undefined
  }

  #leavePending(connection: MultiaddrConnection): void {
    const pending = this.#pending.get(connection)
    if (pending != null) {
      this.#pending.delete(connection)
      pending.host.pending--
      this.#hosts.forgetIfEmpty(pending.host)
    }
  }

  #onOpen(connection: Connection): void {
    if (connection.status !== 'open') {
      return
    }
    const host = connection.direction === 'inbound' ? this.#hosts.of(connection) : undefined
    const opened: Open = { connection, host, usedAtMs: this.#init.now() }
    this.#open.set(connection, opened)
    if (host != null) {
      host.open++
      if (host.open > this.#shareOf(host)) {
        this.#displaceFor(opened, (open) => open.host === host)
      }
    }
    if (this.#open.size > this.#init.maxOpen && this.#open.has(connection)) {
      this.#displaceFor(opened, () => true)
    }
  }

  /** Closes one idle connection. If none is idle, closes the new one, unless it is outbound. */
  #displaceFor(opened: Open, among: (open: Open) => boolean): void {
    const { host, connection } = opened
    const keeps = this.#keeps()
    const mayKept = host == null || keeps(connection.remotePeer)
    const [victim] = this.#idle()
      .filter((open) => open !== opened && among(open) && (host == null || this.#yields(open, host.open)))
      .map((open) => ({ open, rank: rankOf(open, keeps(open.connection.remotePeer)) }))
      .filter(({ rank: [kept] }) => kept === 0 || mayKept)
      .sort((a, b) => compareRanks(a.rank, b.rank))
    if (victim != null) {
      this.#displaced++
      this.#end(victim.open, 'idle connections', 'idle, and its place is needed')
    } else if (host != null) {
      this.#turnedAway++
      if (this.#open.size > this.#init.maxOpen) {
        this.#noteRefusal(host)
      }
      this.#end(opened, 'open places', 'all places are taken')
    }
  }

  #end({ connection }: Open, limit: PlaceLimit, reason: string): void {
    this.#init.onLimit?.(remoteHostOf(connection.remoteAddr).name, limit, reason)
    connection.abort(new Error(reason))
    this.#onClose(connection)
  }

  #onClose(connection: Connection): void {
    const open = this.#open.get(connection)
    this.#open.delete(connection)
    if (open?.host != null) {
      open.host.open--
      this.#hosts.forgetIfEmpty(open.host)
    }
  }

  /** Connections without calls in progress. */
  #idle(): Open[] {
    const nowMs = this.#init.now()
    return [...this.#open.values()].filter((open) => {
      const used = isInUse(open.connection)
      open.usedAtMs = used ? nowMs : open.usedAtMs
      return !used
    })
  }

  /**
   * True if an idle connection may be displaced by an inbound one. `newcomerHas` is the number of connections that the newcomer's host
   * would then have. A displaced peer may reconnect at once, so a host only displaces hosts with more connections than itself. After its
   * idle time, any connection may be displaced.
   */
  #yields({ host, usedAtMs }: Open, newcomerHas: number): boolean {
    return (host?.open ?? 0) > newcomerHas || this.#init.now() - usedAtMs >= REST_MS
  }

  /** Records that the node is full, unless this host itself takes the most places. */
  #noteRefusal(host: Host): void {
    if (host !== this.#hosts.greediest(({ open, pending }) => open + pending)) {
      this.#refusedAtMs = this.#init.now()
    }
  }

  #keeps(): (peerId: PeerId) => boolean {
    const keeps = this.#init.keeps()
    return (peerId) => this.#called.has(peerId.toString()) || keeps(peerId)
  }

  #shareOf({ counted }: Host): number {
    return counted ? this.#init.maxPerIp : Number.POSITIVE_INFINITY
  }

  /** Shortens the handshake timeout while many handshakes are pending. */
  #lookSoon(): void {
    if (this.#isPressed) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.#cutSlowOnes()
        this.#lookSoon()
      }, LOOK_EVERY_MS).unref()
    }
  }

  get #isPressed(): boolean {
    return this.#pending.size > this.#init.maxPending / 2
  }

  #cutSlowOnes(): void {
    const latestMs = this.#init.now() - PRESSED_MS
    for (const pending of this.#isPressed ? [...this.#pending.values()] : []) {
      if (pending.sinceMs <= latestMs) {
        this.#cut(pending, `many handshakes are pending, and this one took over ${PRESSED_MS} ms`)
      }
    }
  }

  #cut(pending: Pending | undefined, reason: string): void {
    if (pending != null) {
      this.#turnedAway++
      this.#init.onLimit?.(pending.host.name, 'handshakes', reason)
      pending.connection.abort(new Error(reason))
      this.#leavePending(pending.connection)
    }
  }
}
