import type { Connection, PeerId } from '@libp2p/interface'
import { isPeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { addressesOf } from '../primitives/address.ts'
import { relayIn } from '../primitives/address-kind.ts'
import { describeError } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import { type Destination, peerOf, type Reached, type ReachOptions, readDestination } from '../protocol/api/host.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { Judge, ResolveOptions } from '../resolve/resolver.ts'
import type { AddressSource, Candidate } from '../resolve/tier.ts'
import { keepDialled } from './book-answers.ts'
import { DialError } from './dial/dial-failure.ts'
import { hasPassingAddress } from './dial/passing-address.ts'
import { refuseSelf } from './home/aliases.ts'
import type { NodeParts } from './node-parts.ts'
import type { Peers } from './peers.ts'

/** The addresses of a peer and their source. */
export interface Resolved {
  peerId: PeerId
  multiaddrs: Multiaddr[]
  source: AddressSource
  /** Milliseconds since the last sign of life of the peer. Undefined if unknown. */
  ageMs: number | undefined
  /** True if the peer signed these addresses or a connection confirmed them. */
  verified: boolean
  attempts: Attempt[]
}

/** The parts that {@link Reach} needs. */
export interface ReachInit {
  parts: NodeParts
  peers: Peers
  /** Aborts when the node stops. */
  closing: AbortSignal
}

/** Connects to a peer: reuses an open connection, dials the given addresses, or resolves the peer and dials the result. */
export class Reach {
  readonly #parts: NodeParts
  readonly #peers: Peers
  readonly #closing: AbortSignal

  constructor({ parts, peers, closing }: ReachInit) {
    this.#parts = parts
    this.#peers = peers
    this.#closing = closing
  }

  /**
   * Passes a connection to `use`. If that connection turns out to be lost, calls `use` again with another one. @throws ProtocolError,
   * ResolveError
   */
  async to<T>(destination: Destination, use: (reached: Reached) => Promise<T>, given: ReachOptions): Promise<T> {
    const to = readDestination(destination)
    if (given.connectedOnly !== true) {
      this.#parts.places.called(peerOf(to))
    }
    if (this.#parts.door != null) {
      await this.#checkAdmitted(peerOf(to), this.#untilStopped(given.signal))
    }
    if (!isPeerId(to)) {
      return this.#useGiven(Array.isArray(to) ? to : [to], use, given)
    }
    const connected = await this.#useOpenConnections(to, use, given)
    if (connected != null) {
      return connected.value
    }
    const options = { ...given, signal: this.#untilStopped(given.signal) }
    if (options.connectedOnly === true) {
      throw new ProtocolError('UNREACHABLE', `not connected to ${to.toString()}`, { phase: 'dial' })
    }
    refuseSelf(to, this.#parts.libp2p.peerId)
    const dial: Judge<Connection> = async (multiaddrs, candidate, signal, more) => {
      options.onPhase?.('dial')
      this.#noteSource(candidate)
      // the peer may be a bootstrap that connected in the meantime
      return this.#parts.dialler.connectionsTo(to)[0] ?? this.#parts.dialler.dial(multiaddrs, signal, { trusted: false, more })
    }
    const { value, candidate, attempts } = await this.#parts.resolver.resolve(to, 'connect', dial, { signal: options.signal })
    this.#remember(to, candidate, value)
    return use({ connection: value, source: candidate.source, attempts: withRelay(attempts, value) })
  }

  /** Resolves the addresses of a peer. Unsigned addresses are confirmed by a connection. @throws ResolveError */
  async resolve(peerId: PeerId, given: ResolveOptions = {}): Promise<Resolved> {
    refuseSelf(peerId, this.#parts.libp2p.peerId)
    const options = { ...given, signal: this.#untilStopped(given.signal) }
    await this.#checkAdmitted(peerId, options.signal)
    const connected = options.tiers == null ? await this.#resolveConnected(peerId) : undefined
    if (connected != null) {
      return connected
    }
    const confirm: Judge<Connection | undefined> = async (multiaddrs, candidate, signal, more) => {
      this.#noteSource(candidate)
      if (!candidate.verified) {
        return this.#parts.dialler.dial(multiaddrs, signal, { trusted: false, more })
      }
      this.#parts.policy.checkAny(multiaddrs)
      return undefined
    }
    const { candidate, value, attempts } = await this.#parts.resolver.resolve(peerId, 'resolve', confirm, options)
    if (value != null) {
      this.#remember(peerId, candidate, value)
    }
    // of unsigned addresses, only the address confirmed by a connection is used
    const multiaddrs = value == null ? this.#parts.policy.allowed(candidate.multiaddrs) : addressesOf(peerId, [value.remoteAddr], 1)
    return { peerId, multiaddrs, source: candidate.source, ageMs: candidate.ageMs, verified: true, attempts }
  }

  /** Connects to a peer at exactly this address. The remote peer may still refuse the connection. @throws ProtocolError UNREACHABLE */
  async connect(address: Multiaddr, signal?: AbortSignal): Promise<Connection> {
    const options = { signal: this.#untilStopped(signal) }
    this.#parts.places.called(peerOf(address))
    await this.#checkAdmitted(peerOf(address), options.signal)
    return this.#connectionAt([address]) ?? this.#dialGiven([address], options)
  }

  /** @throws ProtocolError NOT_ADMITTED */
  async #checkAdmitted(peerId: PeerId, signal: AbortSignal): Promise<void> {
    const verdict = await this.#parts.door?.check(peerId, signal)
    if (verdict?.admitted === false) {
      throw new ProtocolError('NOT_ADMITTED', `this node connects only to registered peers: ${verdict.reason}`, {
        phase: 'dial',
        hint: '--admission open allows all peers; admissionExempt in config.json lists exceptions',
      })
    }
  }

  #untilStopped(signal: AbortSignal | undefined): AbortSignal {
    return signal == null ? this.#closing : AbortSignal.any([signal, this.#closing])
  }

  /** Undefined if no open connection is usable, so the peer has to be resolved. */
  async #useOpenConnections<T>(
    peerId: PeerId,
    use: (reached: Reached) => Promise<T>,
    options: ReachOptions,
  ): Promise<{ value: T } | undefined> {
    const { dialler, liveness } = this.#parts
    let unsupported: unknown
    for (const connection of liveness.soundFirst(dialler.connectionsTo(peerId))) {
      if (liveness.inDoubt(connection)) {
        await liveness.settled(connection, options.signal)
      }
      if (connection.status !== 'open') {
        continue
      }
      try {
        return { value: await use({ connection, source: 'connected', attempts: withRelay(this.#skipped(), connection) }) }
      } catch (error) {
        if (isConnectionLost(error)) {
          this.#parts.log
            .scoped('dial')
            .debug('a connection is lost', error, { peer: connection.remotePeer, address: connection.remoteAddr })
          connection.abort(error)
        } else if (isUnsupported(error)) {
          // a second process may use the same identity: a command besides its node
          unsupported = error
        } else {
          throw error
        }
      }
    }
    if (unsupported != null) {
      throw unsupported
    }
    return undefined
  }

  async #useGiven<T>(multiaddrs: Multiaddr[], use: (reached: Reached) => Promise<T>, options: ReachOptions): Promise<T> {
    const open = this.#connectionAt(multiaddrs)
    if (open != null && this.#parts.liveness.inDoubt(open)) {
      await this.#parts.liveness.settled(open, options.signal)
    }
    const connection = open?.status === 'open' ? open : (this.#connectionAt(multiaddrs) ?? (await this.#dialGiven(multiaddrs, options)))
    try {
      return await use({ connection, source: 'given', attempts: [] })
    } catch (error) {
      if (!isConnectionLost(error)) {
        throw error
      }
      // an old connection may have been lost unnoticed
      connection.abort(error)
      return use({
        connection: this.#connectionAt(multiaddrs) ?? (await this.#dialGiven(multiaddrs, options)),
        source: 'given',
        attempts: [],
      })
    }
  }

  /** Finds an open connection dialled at one of the given addresses. */
  #connectionAt(multiaddrs: Multiaddr[]): Connection | undefined {
    const peerId = peerOf(multiaddrs)
    refuseSelf(peerId, this.#parts.libp2p.peerId)
    return this.#parts.dialler
      .connectionsTo(peerId)
      .find(({ remoteAddr, direction }) => direction === 'outbound' && multiaddrs.some((address) => address.equals(remoteAddr)))
  }

  async #dialGiven(multiaddrs: Multiaddr[], options: ReachOptions): Promise<Connection> {
    options.onPhase?.('dial')
    try {
      return await this.#parts.dialler.dial(multiaddrs, this.#untilStopped(options.signal))
    } catch (cause) {
      options.signal?.throwIfAborted()
      this.#closing.throwIfAborted()
      const { hint, verdict } = cause instanceof DialError ? cause : { hint: undefined, verdict: undefined }
      throw new ProtocolError(verdict ?? 'UNREACHABLE', `${verdict == null ? 'not reached' : 'not let in'}: ${describeError(cause)}`, {
        cause,
        phase: 'dial',
        hint: hint ?? 'is the peer running, and is this its address? Use the peer ID alone to look the address up',
      })
    }
  }

  /** Notes the source of the addresses, because the dial policy depends on it. */
  #noteSource({ multiaddrs, namedOver = 'stranger' }: Candidate): void {
    this.#parts.policy.note(multiaddrs, namedOver)
  }

  /** Stores the address that a connection confirmed. */
  #remember(peerId: PeerId, candidate: Candidate, connection: Connection): void {
    const { book, note, policy } = this.#parts
    note(async () => book.markGood(peerId, addressesOf(peerId, [connection.remoteAddr], 1)[0]))
    // an unsigned address is stored again, and its age counts from now
    if ((!candidate.verified || candidate.seq === 0n) && candidate.source !== 'connected') {
      const origin = candidate.source === 'given' ? 'dialled' : candidate.source
      keepDialled({ book, note }, connection, origin, policy.wayOf(connection.remoteAddr))
    }
  }

  /** The trace of the tiers that an open connection made unnecessary. */
  #skipped(): Attempt[] {
    return this.#parts.resolver.tierNames.map((tier) => ({ tier, outcome: 'skipped', ms: 0, detail: 'already connected' }))
  }

  /** Undefined if no listen address of the connected peer is known, so the peer has to be resolved. */
  async #resolveConnected(peerId: PeerId): Promise<Resolved | undefined> {
    if (this.#parts.dialler.connectionsTo(peerId).length === 0) {
      return undefined
    }
    const { multiaddrs, entry } = await this.#peers.describe(peerId)
    const isDialled = this.#parts.dialler.connectionsTo(peerId).some((each) => each.direction === 'outbound' && !hasPassingAddress(each))
    const isUnconfirmed = !isDialled && entry?.verified === false && multiaddrs.join() === entry.multiaddrs.join()
    return multiaddrs.length === 0 || isUnconfirmed
      ? undefined
      : { peerId, multiaddrs, source: 'connected', ageMs: 0, verified: true, attempts: this.#skipped() }
  }
}

/** Adds the relay of a connection to the trace: to the tier that found the peer, or to all tiers if none was needed. */
function withRelay(attempts: Attempt[], { remoteAddr }: Connection): Attempt[] {
  const relay = relayIn(remoteAddr)
  if (relay == null) {
    return attempts
  }
  const hasHit = attempts.some(({ outcome }) => outcome === 'hit')
  return attempts.map((attempt) =>
    hasHit && attempt.outcome !== 'hit'
      ? attempt
      : { ...attempt, detail: `${attempt.detail ?? ''}, over the relay ${relay.toString()}`.replace(/^, /, '') },
  )
}

/** Compares by name: a protocol may bundle its own copy of this package. */
function isConnectionLost(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ConnectionLostError'
}

function isUnsupported(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'PROTOCOL_UNSUPPORTED'
}
