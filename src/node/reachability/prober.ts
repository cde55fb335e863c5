import type { Connection, IdentifyResult, Libp2p, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Logger } from '../../observe/logger.ts'
import { isRelayed, kindOf } from '../../primitives/address-kind.ts'
import { describeError } from '../../primitives/errors.ts'
import { type Rate, TokenBuckets } from '../../primitives/token-bucket.ts'
import { putAside } from '../dial/aside.ts'
import { DIAL_REQUEST_PROTOCOL_ID } from './autonat-stream.ts'
import { DialBackReports } from './dial-back-reports.ts'
import type { DialRequests } from './dial-requests.ts'
import { type OwnCandidates, withoutPeer } from './own-candidates.ts'
import type { AddressReachability, Reachability, Verdict } from './reachability.ts'

export interface ProberInit {
  libp2p: Pick<Libp2p, 'getMultiaddrs' | 'getConnections' | 'addEventListener' | 'removeEventListener'>
  candidates: Pick<OwnCandidates, 'list' | 'observed' | 'disconnected' | 'moved'>
  requests: Pick<DialRequests, 'start' | 'ask'>
  /** True if the remote peer is outside this node's network. */
  isOutside(connection: Connection): boolean
  /** Starts or stops announcing an address that belongs to no listener. */
  announce(address: Multiaddr, isPublic: boolean): void
  log: Logger
  now?: (() => number) | undefined
}

/** Rate limit of all dial-back requests of this node. */
const ASKING: Rate = { burst: 24, refillMs: 15_000 }
/** Minimum interval between requests to one peer about one address, in milliseconds. */
const SAME_PEER_MS = 10 * 60_000
/** Interval until an address is tested again, by verdict, in milliseconds after the last report. */
const AGAIN_MS: Record<Verdict, number> = { public: 30 * 60_000, private: 10 * 60_000, unknown: 0 }
/** Interval of checking which addresses are due, in milliseconds. */
const LOOK_EVERY_MS = 60_000
/** Debounce delay in milliseconds. Connections often come in bursts, each with an identify message. */
const GATHER_MS = 50

/**
 * Tests which addresses of this node outside peers can reach. It asks connected peers, one at a time, to dial back. It asks when the node's
 * addresses change, when a peer connects while a verdict is unknown, and at intervals.
 */
export class Prober implements Reachability {
  readonly #init: ProberInit
  readonly #now: () => number
  readonly #tokens: TokenBuckets
  readonly #reports = new Map<string, DialBackReports>()
  /** Connected peers that offer dial-backs. */
  readonly #servers = new Set<string>()
  readonly #announced = new Map<string, Multiaddr>()
  readonly #listeners = new Set<(verdict: Verdict) => void>()
  readonly #closing = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #gathering: NodeJS.Timeout | undefined
  #asking: Promise<void> | undefined
  /** The peer with a pending request. */
  #asked: string | undefined
  #told: Verdict = 'unknown'

  constructor(init: ProberInit) {
    this.#init = init
    this.#now = init.now ?? Date.now
    this.#tokens = new TokenBuckets({ maxKeys: 1, now: this.#now })
  }

  /** Call once, before libp2p starts. */
  async start(): Promise<void> {
    const { libp2p, requests } = this.#init
    libp2p.addEventListener('connection:open', this.#onOpen)
    libp2p.addEventListener('peer:identify', this.#onIdentify)
    libp2p.addEventListener('peer:disconnect', this.#onDisconnect)
    libp2p.addEventListener('self:peer:update', this.#onOwnAddresses)
    this.#timer = setInterval(this.#lookSoon, LOOK_EVERY_MS).unref()
    await requests.start()
  }

  async stop(): Promise<void> {
    const { libp2p } = this.#init
    libp2p.removeEventListener('connection:open', this.#onOpen)
    libp2p.removeEventListener('peer:identify', this.#onIdentify)
    libp2p.removeEventListener('peer:disconnect', this.#onDisconnect)
    libp2p.removeEventListener('self:peer:update', this.#onOwnAddresses)
    this.#closing.abort(new Error('the node stops'))
    clearInterval(this.#timer)
    clearTimeout(this.#gathering)
    await this.#asking
  }

  get verdict(): Verdict {
    const verdicts = this.#init.candidates.list().map((address) => this.#verdictOf(address))
    if (verdicts.includes('public')) {
      return 'public'
    }
    return verdicts.length > 0 && verdicts.every((verdict) => verdict === 'private') ? 'private' : 'unknown'
  }

  get addresses(): AddressReachability[] {
    const { candidates, libp2p } = this.#init
    const asked = candidates.list()
    const others = libp2p
      .getMultiaddrs()
      .filter((address) => !isRelayed(address))
      .map(withoutPeer)
    return [
      ...asked.map((multiaddr) => ({ multiaddr, verdict: this.#verdictOf(multiaddr), reports: this.#reportsOf(multiaddr).list })),
      ...others
        .filter((multiaddr) => !asked.some((each) => each.equals(multiaddr)))
        .map((multiaddr) => ({ multiaddr, verdict: isLocal(multiaddr) ? ('private' as const) : ('unknown' as const), reports: [] })),
    ]
  }

  onVerdict(listener: (verdict: Verdict) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Call when the candidates have changed. @param gone addresses that may no longer lead to this node. Their reports are discarded */
  candidatesChanged(gone: Multiaddr[]): void {
    for (const address of gone) {
      this.#reports.delete(address.toString())
      if (this.#announced.delete(address.toString())) {
        this.#init.announce(address, false)
      }
    }
    this.#lookSoon()
  }

  /** Sends all due requests. Resolves when none is left or the rate limit is reached. */
  async look(): Promise<void> {
    this.#conclude()
    this.#asking ??= this.#askAll().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  readonly #lookSoon = (): void => {
    if (!this.#closing.signal.aborted) {
      this.#gathering ??= setTimeout(() => {
        this.#gathering = undefined
        void this.look()
      }, GATHER_MS).unref()
    }
  }

  /** An inbound connection of the asked peer is its dial-back. It is put aside, because a call on it would be cut off. */
  readonly #onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
    if (connection.direction === 'inbound' && connection.remotePeer.toString() === this.#asked) {
      putAside(connection)
    }
  }

  readonly #onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    const { candidates, isOutside } = this.#init
    candidates.observed(detail)
    if (detail.protocols.includes(DIAL_REQUEST_PROTOCOL_ID) && isOutside(detail.connection)) {
      this.#servers.add(detail.connection.remotePeer.toString())
    }
    this.#lookSoon()
  }

  readonly #onDisconnect = ({ detail: peerId }: CustomEvent<PeerId>): void => {
    this.#servers.delete(peerId.toString())
    this.#init.candidates.disconnected(peerId)
  }

  readonly #onOwnAddresses = (): void => {
    this.#init.candidates.moved()
    this.#lookSoon()
  }

  async #askAll(): Promise<void> {
    const { requests, log } = this.#init
    const { signal } = this.#closing
    try {
      for (let next = this.#next(); next != null && this.#tokens.take('', ASKING); next = this.#next()) {
        const { address, connection } = next
        const peerId = connection.remotePeer.toString()
        this.#asked = peerId
        const { outcome, detail } = await requests.ask(connection, address, signal)
        this.#reportsOf(address).add({ peerId, outcome, detail, atMs: this.#now() })
        log.debug(`asked to dial back: ${outcome}`, undefined, { peer: peerId, address: address.toString(), detail })
        this.#conclude()
      }
    } catch (error) {
      if (!signal.aborted) {
        log.debug(`no peer is asked to dial back for now: ${describeError(error)}`)
      }
    } finally {
      this.#asked = undefined
    }
  }

  /** The next request. Undefined if none is due. */
  #next(): { address: Multiaddr; connection: Connection } | undefined {
    const candidates = this.#init.candidates.list()
    const connections = this.#connections(candidates)
    for (const address of candidates.filter((each) => this.#isDue(each))) {
      const reports = this.#reportsOf(address)
      const connection = connections
        .map((each) => ({ each, askedAtMs: reports.askedAtMs(each.remotePeer.toString()) ?? Number.NEGATIVE_INFINITY }))
        .filter(({ askedAtMs }) => this.#now() - askedAtMs >= SAME_PEER_MS)
        .sort((a, b) => a.askedAtMs - b.askedAtMs)[0]?.each
      if (connection != null) {
        return { address, connection }
      }
    }
    return undefined
  }

  #isDue(address: Multiaddr): boolean {
    const [last] = this.#reportsOf(address).list.filter(({ outcome }) => outcome !== 'declined')
    const verdict = this.#verdictOf(address)
    // a single failure of a public address is checked at once
    return last == null || (verdict === 'public' && last.outcome === 'failed') || this.#now() - last.atMs >= AGAIN_MS[verdict]
  }

  /**
   * One connection per peer that offers dial-backs, in random order. A peer at one of the node's own hosts is skipped: it is behind the
   * same router or on the same machine.
   */
  #connections(candidates: Multiaddr[]): Connection[] {
    const { libp2p, isOutside } = this.#init
    const own = new Set(candidates.map(hostOf))
    const found = new Map<string, Connection>()
    for (const connection of libp2p.getConnections()) {
      const { status, remotePeer, remoteAddr } = connection
      if (status === 'open' && this.#servers.has(remotePeer.toString()) && isOutside(connection) && !own.has(hostOf(remoteAddr))) {
        found.set(remotePeer.toString(), connection)
      }
    }
    return [...found.values()].sort(() => Math.random() - 0.5)
  }

  #reportsOf(address: Multiaddr): DialBackReports {
    const key = address.toString()
    const reports = this.#reports.get(key) ?? new DialBackReports()
    this.#reports.set(key, reports)
    return reports
  }

  #verdictOf(address: Multiaddr): Verdict {
    return this.#reportsOf(address).verdict([...this.#servers])
  }

  #conclude(): void {
    const candidates = this.#init.candidates.list()
    this.#forget(new Set(candidates.map(String)))
    const publicOnes = candidates.filter((address) => this.#verdictOf(address) === 'public')
    for (const address of publicOnes.filter((each) => !this.#announced.has(each.toString()))) {
      this.#announced.set(address.toString(), address)
      this.#init.announce(address, true)
    }
    for (const [text, address] of this.#announced) {
      if (!publicOnes.some((each) => each.toString() === text)) {
        this.#announced.delete(text)
        this.#init.announce(address, false)
      }
    }
    const { verdict } = this
    if (verdict !== this.#told) {
      this.#told = verdict
      this.#init.log.info(`peers outside of this network ${SAID[verdict]}`)
      for (const listener of this.#listeners) {
        listener(verdict)
      }
    }
  }

  #forget(candidates: Set<string>): void {
    for (const text of this.#reports.keys()) {
      if (!candidates.has(text)) {
        this.#reports.delete(text)
      }
    }
  }
}

const SAID = {
  public: 'can dial this node',
  private: 'cannot dial this node at any of its addresses',
  unknown: 'have not reported yet whether they can dial this node',
} satisfies Record<Verdict, string>

function hostOf(address: Multiaddr): string | undefined {
  return address.getComponents()[0]?.value
}

function isLocal(address: Multiaddr): boolean {
  const kind = kindOf(address)
  return kind === 'private' || kind === 'loopback'
}
