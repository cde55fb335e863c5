import type { Connection, ConnectionGater, Libp2p, MultiaddrConnection, PeerId, Stream } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { callsOn } from '../protocol/pipeline.ts'
import { remoteHostOf } from './remote-host.ts'

export interface PlacesInit {
  /** Open connections that one IPv4 address or IPv6 /64 may have to this node. @default 150, and this machine is not counted */
  maxPerHost: number | undefined
  /** Connections, both ways. @default 300 */
  maxOpen?: number
  /** Inbound connections whose handshake has not ended. @default 200 */
  maxPending?: number
  /** Tells of peers that no stranger displaces: as of now, for the use at once. */
  keeps?: () => (peerId: PeerId) => boolean
  now?: () => number
}

/** What is taken of what there is, and what was done about it since the start. */
export interface PlacesState {
  open: number
  maxOpen: number
  pending: number
  maxPending: number
  maxPerHost: number
  /** The host with the most inbound connections, open and pending ones together. */
  largest: { host: string; open: number; pending: number } | undefined
  /** Newcomers that did not get in. */
  turnedAway: number
  /** Idle connections that made place for others. */
  displaced: number
  /** When a newcomer was last turned away because all places were taken, not only those of its host. */
  refusedAtMs: number | undefined
}

interface Pending {
  connection: MultiaddrConnection
  holder: Holder
  sinceMs: number
}

interface Open {
  connection: Connection
  /** None of those that this node opened. */
  holder: Holder | undefined
  /** When it was opened, or last seen in use. */
  usedAtMs: number
}

interface Holder {
  name: string
  /** Whether it has a share only. */
  counted: boolean
  open: number
  pending: number
}

/** As many as libp2p has by itself. */
const MAX_OPEN = 300
const MAX_PENDING = 200
/** Half of the places: a NAT with a hundred shells that call at once (`xargs -P 100`), and as many peers as that again. */
const MAX_PER_HOST = MAX_OPEN / 2
/** Of a host's places, those that may be pending: with the default 100 handshakes at once, and two such hosts do not block a third. */
const PENDING_SHARE = 2 / 3
/** What a handshake may take while more than half of the pending places are taken; libp2p gives it 10 s. Six round trips of 500 ms. */
const PRESSED_MS = 3_000
const LOOK_EVERY_MS = 500
const MAX_CALLED = 1_000
/** Streams that stand by themselves on a connection: identify, ping, gossip, Kademlia. */
const STANDING = /^\/(ipfs\/(id|ping)|meshsub|floodsub)\/|\/kad\//

/**
 * The places for connections, and who has them. No host has more than its share of those for inbound connections, pending or open. Where all
 * are taken, a newcomer takes the place of another: of pending ones, of the oldest of the host that has the most; of open ones, of an idle one, without
 * calls. Connections that this node opened are counted, but never refused.
 *
 * libp2p's own limits (`maxConnections`, `maxIncomingPendingConnections`) refuse newcomers whoever has the places: they are off, `limits`.
 */
export class Places {
  readonly #init: Required<Omit<PlacesInit, 'maxPerHost'>> & { maxPerHost: number; countLocal: boolean }
  readonly #holders = new Map<string, Holder>()
  /** The oldest first. */
  readonly #pending = new Map<MultiaddrConnection, Pending>()
  readonly #open = new Map<Connection, Open>()
  readonly #called = new LRUCache<string, true>({ max: MAX_CALLED })
  #turnedAway = 0
  #displaced = 0
  #refusedAtMs: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor({ maxPerHost, maxOpen = MAX_OPEN, maxPending = MAX_PENDING, keeps = () => () => false, now = Date.now }: PlacesInit) {
    this.#init = { maxPerHost: maxPerHost ?? MAX_PER_HOST, countLocal: maxPerHost != null, maxOpen, maxPending, keeps, now }
  }

  /** For libp2p's connection manager. */
  readonly limits = { maxConnections: Number.POSITIVE_INFINITY, maxIncomingPendingConnections: Number.POSITIVE_INFINITY }

  /** For libp2p, which asks at each inbound connection before its handshake, and after it. */
  readonly gater = {
    denyInboundConnection: (connection: MultiaddrConnection) => !this.#arrive(connection),
    denyInboundUpgradedConnection: (_: PeerId, connection: MultiaddrConnection) => {
      this.#leavePending(connection)
      return false
    },
  } satisfies ConnectionGater

  get state(): PlacesState {
    const { maxOpen, maxPending, maxPerHost } = this.#init
    const largest = this.#greediest(({ open, pending }) => open + pending)
    return {
      open: this.#open.size,
      maxOpen,
      pending: this.#pending.size,
      maxPending,
      maxPerHost,
      largest: largest == null ? undefined : { host: largest.name, open: largest.open, pending: largest.pending },
      turnedAway: this.#turnedAway,
      displaced: this.#displaced,
      refusedAtMs: this.#refusedAtMs,
    }
  }

  /** To be called before libp2p starts. */
  follow(libp2p: Pick<Libp2p, 'addEventListener'>): void {
    libp2p.addEventListener('connection:open', ({ detail }) => this.#onOpen(detail))
    libp2p.addEventListener('connection:close', ({ detail }) => this.#onClose(detail))
  }

  /** The user of this node calls this peer: strangers do not displace it. */
  called(peerId: PeerId): void {
    this.#called.set(peerId.toString(), true)
  }

  #arrive(connection: MultiaddrConnection): boolean {
    if (connection.status !== 'open') {
      return false
    }
    const holder = this.#holderOf(connection)
    const room = this.#hasOpenRoom(holder) && this.#makePendingRoom(holder)
    if (!room) {
      this.#turnedAway++
      this.#forgetIfEmpty(holder)
      return false
    }
    holder.pending++
    this.#pending.set(connection, { connection, holder, sinceMs: this.#init.now() })
    connection.addEventListener('close', () => this.#leavePending(connection), { once: true })
    this.#lookSoon()
    return true
  }

  /** Whether it could be open: a place is free, or an idle connection has one. */
  #hasOpenRoom(holder: Holder): boolean {
    const { maxOpen } = this.#init
    if (holder.open >= this.#shareOf(holder) && !this.#idle().some((open) => open.holder === holder)) {
      return false
    }
    if (this.#open.size >= maxOpen && this.#idle().length === 0) {
      this.#refusedAtMs = this.#init.now()
      return false
    }
    return true
  }

  #makePendingRoom(holder: Holder): boolean {
    if (holder.pending >= Math.ceil(this.#shareOf(holder) * PENDING_SHARE)) {
      return false
    }
    if (this.#pending.size < this.#init.maxPending) {
      return true
    }
    const greediest = this.#greediest(({ pending }) => pending)
    if (greediest == null || greediest.pending <= holder.pending) {
      this.#refusedAtMs = this.#init.now()
      return false
    }
    const oldest = [...this.#pending.values()].find((pending) => pending.holder === greediest)
    this.#cut(oldest, `${greediest.name} has most of the pending places, and another needs one`)
    return true
  }

  #leavePending(connection: MultiaddrConnection): void {
    const pending = this.#pending.get(connection)
    if (pending != null) {
      this.#pending.delete(connection)
      pending.holder.pending--
      this.#forgetIfEmpty(pending.holder)
    }
  }

  #onOpen(connection: Connection): void {
    if (connection.status !== 'open') {
      return
    }
    const holder = connection.direction === 'inbound' ? this.#holderOf(connection) : undefined
    const opened: Open = { connection, holder, usedAtMs: this.#init.now() }
    this.#open.set(connection, opened)
    if (holder != null) {
      holder.open++
      if (holder.open > this.#shareOf(holder)) {
        this.#displaceFor(opened, (open) => open.holder === holder)
      }
    }
    if (this.#open.size > this.#init.maxOpen && this.#open.has(connection)) {
      this.#displaceFor(opened, () => true)
    }
  }

  /** Closes an idle connection of these; where there is none, the new one, unless this node opened it. */
  #displaceFor(opened: Open, among: (open: Open) => boolean): void {
    const keeps = this.#keeps()
    const mayKept = opened.holder == null || keeps(opened.connection.remotePeer)
    const [victim] = this.#idle()
      .filter((open) => open !== opened && among(open))
      .map((open) => ({ open, rank: rankOf(open, keeps(open.connection.remotePeer)) }))
      .filter(({ rank: [kept] }) => kept === 0 || mayKept)
      .sort((a, b) => compare(a.rank, b.rank))
    if (victim != null) {
      this.#displaced++
      this.#end(victim.open, 'idle, and its place is needed')
    } else if (opened.holder != null) {
      this.#turnedAway++
      this.#refusedAtMs = this.#open.size > this.#init.maxOpen ? this.#init.now() : this.#refusedAtMs
      this.#end(opened, 'there is no place for it')
    }
  }

  #end({ connection }: Open, reason: string): void {
    connection.abort(new Error(reason))
    this.#onClose(connection)
  }

  #onClose(connection: Connection): void {
    const open = this.#open.get(connection)
    this.#open.delete(connection)
    if (open?.holder != null) {
      open.holder.open--
      this.#forgetIfEmpty(open.holder)
    }
  }

  /** Those without calls. */
  #idle(): Open[] {
    const nowMs = this.#init.now()
    return [...this.#open.values()].filter((open) => {
      const used = open.connection.streams.some(isInUse)
      open.usedAtMs = used ? nowMs : open.usedAtMs
      return !used
    })
  }

  #keeps(): (peerId: PeerId) => boolean {
    const keeps = this.#init.keeps()
    return (peerId) => this.#called.has(peerId.toString()) || keeps(peerId)
  }

  #shareOf({ counted }: Holder): number {
    return counted ? this.#init.maxPerHost : Number.POSITIVE_INFINITY
  }

  #holderOf({ remoteAddr }: Pick<Connection, 'remoteAddr'>): Holder {
    const { name, local } = remoteHostOf(remoteAddr)
    const found = this.#holders.get(name) ?? { name, counted: !local || this.#init.countLocal, open: 0, pending: 0 }
    this.#holders.set(name, found)
    return found
  }

  #forgetIfEmpty({ name, open, pending }: Holder): void {
    if (open + pending === 0) {
      this.#holders.delete(name)
    }
  }

  #greediest(count: (holder: Holder) => number): Holder | undefined {
    let greediest: Holder | undefined
    for (const holder of this.#holders.values()) {
      if (greediest == null || count(holder) > count(greediest)) {
        greediest = holder
      }
    }
    return greediest
  }

  /** Under pressure, handshakes have less time. */
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
      pending.connection.abort(new Error(reason))
      this.#leavePending(pending.connection)
    }
  }
}

/**
 * A call is use of a connection: one on a stream of its own, or under way on a kept stream. A stream whose protocol is not negotiated is
 * none, nor is one that libp2p opens by itself.
 */
function isInUse(stream: Stream): boolean {
  return isForCalls(stream) && (callsOn(stream) ?? 1) > 0
}

function isForCalls({ protocol }: Stream): boolean {
  return protocol !== '' && !STANDING.test(protocol)
}

/**
 * The lowest goes first: strangers, inbound ones, those of the host that has most, those that keep no stream for calls, those that are
 * idle for longest.
 */
function rankOf({ connection, holder, usedAtMs }: Open, kept: boolean): number[] {
  return [Number(kept), holder == null ? 1 : 0, -(holder?.open ?? 0), Number(connection.streams.some(isForCalls)), usedAtMs]
}

function compare(a: number[], b: number[]): number {
  const index = a.findIndex((value, place) => value !== b[place])
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0)
}
