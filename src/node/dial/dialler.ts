import type { ComponentLogger, Connection, MultiaddrResolveOptions, PeerId } from '@libp2p/interface'
import type { ConnectionManager, TransportManager } from '@libp2p/interface-internal'
import { Queue } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { dnsaddrResolver } from 'libp2p'
import { addressesOf, peerIdOf } from '../../primitives/address.ts'
import { isRelayed } from '../../primitives/address-kind.ts'
import { type Budget, budgetOf } from '../../primitives/budget.ts'
import { describeError } from '../../primitives/errors.ts'
import { isAside } from './aside.ts'
import { DialError, DialFailure } from './dial-failure.ts'
import { GivenUp } from './dial-outcome.ts'
import { type Permit, permitted, TRUSTED } from './dial-permit.ts'
import { HeadStart } from './head-start.ts'
import { WorkingTransports } from './working-transports.ts'

/** The libp2p components that open connections. */
export interface DialComponents {
  dns?: MultiaddrResolveOptions['dns'] | undefined
  logger: ComponentLogger
  connectionManager: ConnectionManager
  transportManager: TransportManager
}

/** Limits of resolving a `/dnsaddr`: nested levels, and addresses per name. */
const MAX_DNSADDR_DEPTH = 3
const MAX_DNSADDR_ANSWERS = 16

/** Time limit for connecting to one address, in milliseconds. The kernel tries five times within it. */
const CONNECT_TIMEOUT_MS = 5_000
/**
 * Time limit for securing and multiplexing, scaled by the connect time. It covers four round trips, each of which may triple or more if a
 * packet is lost. It also covers a peer whose event loop stalls for 5 s. A listener ends a handshake after 10 s.
 */
const HANDSHAKE: Budget = { times: 30, minMs: 6_000, maxMs: 10_000 }

/** Maximum duration of a dial after a socket is connected, in milliseconds: half a handshake plus a second attempt. */
export const MAX_DIAL_MS = HANDSHAKE.maxMs / 2 + CONNECT_TIMEOUT_MS + HANDSHAKE.maxMs

/**
 * After a refusal at one address, the other addresses get this much more time, in milliseconds. A third party on the path may have cut the
 * refused connection, so a genuine address still needs a chance.
 */
const REFUSED_GRACE_MS = 1_000
/** Factor on the connect timeout of a relayed address: the relay is dialled first, then the peer. */
const RELAYED_TIMES = 2
const REFUSED_ELSEWHERE = new GivenUp('given up: the peer refused at another address')
const FASTER = new GivenUp('another address of this peer was faster')

export interface DiallerOptions {
  /** Time limits of the two phases of a dial. */
  connectTimeoutMs?: number
  handshake?: Budget
  /** Called with each connection to an address that the user named. */
  onGiven?: (connection: Connection) => void
}

/**
 * Dials all addresses of a peer in parallel. The first address that proves to be the peer wins, and the other dials are aborted. libp2p's
 * dial queue is sequential, so an unreachable first address would cost its whole timeout.
 */
export class Dialler {
  readonly #components: DialComponents
  readonly #connectTimeoutMs: number
  readonly #handshake: Budget
  readonly #onGiven: DiallerOptions['onGiven']
  readonly #working = new WorkingTransports()
  readonly #running = new Queue<Connection, { key: string; signal?: AbortSignal }>()

  constructor(components: DialComponents, { connectTimeoutMs = CONNECT_TIMEOUT_MS, handshake = HANDSHAKE, onGiven }: DiallerOptions = {}) {
    this.#components = components
    this.#connectTimeoutMs = connectTimeoutMs
    this.#handshake = handshake
    this.#onGiven = onGiven
  }

  /** Open connections, newest first. Relayed connections come after direct ones, and connections put aside come last. */
  connectionsTo(peerId: PeerId): Connection[] {
    return this.#components.connectionManager
      .getConnections(peerId)
      .filter((connection) => connection.status === 'open')
      .reverse()
      .sort((a, b) => Number(isAside(a)) - Number(isAside(b)) || Number(isRelayed(a.remoteAddr)) - Number(isRelayed(b.remoteAddr)))
  }

  /** False if no transport can dial the address. */
  isDialable(address: Multiaddr): boolean {
    return isDnsaddr(address) || this.#components.transportManager.dialTransportForMultiaddr(address) != null
  }

  /** Dials the addresses of a peer. Concurrent dials of the same addresses are merged. @throws DialError; the signal's reason */
  async dial(multiaddrs: Multiaddr[], signal?: AbortSignal, permit = TRUSTED): Promise<Connection> {
    signal?.throwIfAborted()
    const key = [permit.trusted, ...multiaddrs.map(String).sort()].join()
    const shared = signal == null ? { key } : { key, signal }
    // a dial without recipients was given up
    const running = this.#running.queue.find((job) => job.options.key === key && job.recipients.length > 0)
    const connection = await (running?.join(shared) ??
      this.#running.add(async (job) => this.#dialAll(multiaddrs, job.signal, permit), shared))
    if (permit.given === true) {
      this.#onGiven?.(connection)
    }
    return connection
  }

  async #dialAll(multiaddrs: Multiaddr[], signal: AbortSignal | undefined, permit: Permit, depth = 0): Promise<Connection> {
    // one controller each: a connection is bound to its dial's signal, and the winner's must never abort
    const attempts = multiaddrs.map((address) => ({ address, given: new AbortController() }))
    let winner: Connection | undefined
    let grace: NodeJS.Timeout | undefined
    const giveUp = (others: typeof attempts, reason: Error): void => {
      for (const { given } of others) {
        given.abort(reason)
      }
    }
    const direct = attempts.filter(({ address }) => !isRelayed(address))
    const headStart = new HeadStart(attempts.length === direct.length ? 0 : direct.length)
    const seconds = this.#working.secondsOf(direct.map(({ address }) => address))
    const choice = new HeadStart(seconds.length === 0 ? 0 : direct.length - seconds.length)
    const dials = attempts.map(async (attempt) => {
      const { address, given } = attempt
      const connection = await headStart
        .before(isRelayed(address), [given.signal, signal], async () =>
          isRelayed(address)
            ? this.#dialTwice(address, given, signal, permit, depth)
            : choice.before(seconds.includes(address), [given.signal, signal], async () =>
                this.#dialTwice(address, given, signal, permit, depth),
              ),
        )
        .catch((failure: DialFailure) => {
          if (failure.kind === 'not admitted') {
            grace ??= setTimeout(() => giveUp(attempts, REFUSED_ELSEWHERE), REFUSED_GRACE_MS)
          }
          throw failure
        })
      clearTimeout(grace)
      if (winner != null) {
        connection.abort(FASTER)
        return winner
      }
      winner = connection
      this.#working.note(connection.remotePeer, address, multiaddrs)
      giveUp(
        attempts.filter((other) => other !== attempt),
        FASTER,
      )
      return connection
    })
    try {
      return await Promise.any(dials)
    } catch (cause) {
      clearTimeout(grace)
      signal?.throwIfAborted()
      throw new DialError(failuresIn(cause), { cause })
    } finally {
      headStart.over()
      choice.over()
    }
  }

  /**
   * Races two handshakes on a slow path. If connecting took long and the handshake is not done in half its time, a second attempt starts.
   * The first one to finish wins. On a lossy path, the second attempt may lose fewer packets.
   */
  async #dialTwice(
    address: Multiaddr,
    given: AbortController,
    signal: AbortSignal | undefined,
    permit: Permit,
    depth: number,
  ): Promise<Connection> {
    const again = Promise.withResolvers<void>()
    let timer: NodeJS.Timeout | undefined
    const onConnected = (ms: number): void => {
      permit.onConnected?.(ms)
      const handshakeMs = budgetOf(ms, this.#handshake)
      if (handshakeMs > this.#handshake.minMs) {
        timer ??= setTimeout(again.resolve, handshakeMs / 2)
      }
    }
    const watched: Permit = { trusted: permit.trusted, more: () => permit.more(), onConnected }
    const controllers = [new AbortController(), new AbortController()] as const
    const giveUp = (reason: unknown, winner?: AbortController): void => {
      for (const controller of controllers) {
        if (controller !== winner) {
          controller.abort(reason)
        }
      }
    }
    const onGiven = (): void => giveUp(given.signal.reason)
    given.signal.addEventListener('abort', onGiven)
    let winner: Connection | undefined
    const tryWith = async (controller: AbortController): Promise<Connection> => {
      const connection = await this.#dialOne(address, controller, signal, watched, depth)
      if (winner != null) {
        connection.abort(FASTER)
        return winner
      }
      winner = connection
      giveUp(FASTER, controller)
      return connection
    }
    const first = tryWith(controllers[0])
    first.then(() => again.reject(FASTER), again.reject)
    const second = again.promise.then(async () => (permit.more() ? tryWith(controllers[1]) : first))
    try {
      return await Promise.any([first, second])
    } catch (cause) {
      throw (cause as AggregateError).errors[0]
    } finally {
      clearTimeout(timer)
      given.signal.removeEventListener('abort', onGiven)
    }
  }

  async #dialOne(
    address: Multiaddr,
    given: AbortController,
    signal: AbortSignal | undefined,
    permit: Permit,
    depth: number,
  ): Promise<Connection> {
    const onAbort = (): void => given.abort(signal?.reason)
    const give = (ms: number): NodeJS.Timeout => setTimeout(() => given.abort(new Error(`no answer within ${Math.round(ms)} ms`)), ms)
    let timer = give(this.#connectTimeoutMs * (isRelayed(address) ? RELAYED_TIMES : 1))
    const onConnected = (ms: number): void => {
      clearTimeout(timer)
      timer = give(budgetOf(ms, this.#handshake))
      permit.onConnected?.(ms)
    }
    signal?.addEventListener('abort', onAbort)
    try {
      const connection = await this.#open(address, given.signal, { trusted: permit.trusted, more: () => permit.more(), onConnected }, depth)
      const expected = peerIdOf(address)
      // checked here, because a library may answer for another peer
      if (expected?.equals(connection.remotePeer) === false) {
        const wrong = DialFailure.wrongPeer(connection.remotePeer, expected)
        connection.abort(wrong)
        throw wrong
      }
      return connection
    } catch (cause) {
      throw this.#failureOf(cause, given.signal).at(address)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  async #open(address: Multiaddr, signal: AbortSignal, permit: Permit, depth: number): Promise<Connection> {
    if (isDnsaddr(address) && depth < MAX_DNSADDR_DEPTH) {
      const answers = await this.#resolve(address, signal)
      return this.#dialAll(
        answers.filter((_, index) => index === 0 || permit.more()),
        signal,
        permit,
        depth + 1,
      )
    }
    if (this.#components.transportManager.dialTransportForMultiaddr(address) == null) {
      throw new DialFailure('address', 'no transport of this node dials this address')
    }
    return this.#components.transportManager.dial(address, permitted({ signal }, permit))
  }
  /** Resolves a `/dnsaddr` to addresses of the dialled peer. @throws DialFailure */
  async #resolve(address: Multiaddr, signal: AbortSignal): Promise<Multiaddr[]> {
    const { dns, logger } = this.#components
    const options = { signal, log: logger.forComponent('subnet:dialler'), ...(dns == null ? {} : { dns }) }
    const found = await dnsaddrResolver.resolve(address, options).catch((cause) => {
      throw new DialFailure('name', describeError(cause), { cause })
    })
    const peerId = peerIdOf(address)
    const answers = peerId == null ? found.slice(0, MAX_DNSADDR_ANSWERS) : addressesOf(peerId, found, MAX_DNSADDR_ANSWERS)
    if (answers.length === 0) {
      throw new DialFailure('name', 'the name has no address of this peer')
    }
    return answers
  }

  #failureOf(cause: unknown, signal: AbortSignal): DialFailure {
    const [failure] = failuresIn(cause)
    if (failure != null) {
      return failure
    }
    const reason = signal.aborted ? signal.reason : cause
    return new DialFailure(signal.aborted ? 'timeout' : 'unknown', describeError(reason), { cause })
  }
}

/** Several attempts fail with an AggregateError. */
function failuresIn(cause: unknown): DialFailure[] {
  const all = cause instanceof DialError ? cause.cause : cause
  return (all instanceof AggregateError ? all.errors : [all]).filter((error) => error instanceof DialFailure)
}

/** The `/dnsaddr` of a relay is resolved when the relay is dialled. */
function isDnsaddr(address: Multiaddr): boolean {
  return address.getComponents()[0]?.name === 'dnsaddr' && !isRelayed(address)
}
