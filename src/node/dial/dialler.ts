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

/** The parts of libp2p that open connections. */
export interface DialComponents {
  dns?: MultiaddrResolveOptions['dns'] | undefined
  logger: ComponentLogger
  connectionManager: ConnectionManager
  transportManager: TransportManager
}

/** A `/dnsaddr` may lead to others, so many times, and to so many addresses in all. */
const MAX_DNSADDR_DEPTH = 3
const MAX_DNSADDR_ANSWERS = 16

/** How long one address may take to connect, in milliseconds: the kernel tries five times. */
const CONNECT_TIMEOUT_MS = 5_000
/**
 * What securing and multiplexing may take, by how long the connecting took: four round trips, each of which a lost packet makes three times as long
 * or more. A peer whose event loop stands still for 5 s has its time; who answers ends a handshake after 10 s.
 */
const HANDSHAKE: Budget = { times: 30, minMs: 6_000, maxMs: 10_000 }

/** The longest that a dial lasts once a socket is connected: half a handshake, and a second try. */
export const MAX_DIAL_MS = HANDSHAKE.maxMs / 2 + CONNECT_TIMEOUT_MS + HANDSHAKE.maxMs

/**
 * A peer that refused at one address is not waited for at its others for longer, in milliseconds. Another one on the path may have cut that
 * connection, so a true address still has this time.
 */
const REFUSED_GRACE_MS = 1_000
/** A relay is dialled first, and then asked: such an address may take so many times as long to connect. */
const RELAYED_TIMES = 2
const REFUSED_ELSEWHERE = new GivenUp('given up: the peer refused at another address')
const FASTER = new GivenUp('another address of this peer was faster')

/** How long the two halves of a dial may take. */
export interface DiallerOptions {
  connectTimeoutMs?: number
  handshake?: Budget
}

/**
 * Dials all addresses of a peer at once; the first that proves to be the peer wins, the others are given up. libp2p's own
 * dial queue tries one after the other, and a dead first address would cost its whole timeout.
 */
export class Dialler {
  readonly #components: DialComponents
  readonly #connectTimeoutMs: number
  readonly #handshake: Budget
  readonly #working = new WorkingTransports()
  readonly #running = new Queue<Connection, { key: string; signal?: AbortSignal }>()

  constructor(components: DialComponents, { connectTimeoutMs = CONNECT_TIMEOUT_MS, handshake = HANDSHAKE }: DiallerOptions = {}) {
    this.#components = components
    this.#connectTimeoutMs = connectTimeoutMs
    this.#handshake = handshake
  }

  /** Connections that are open now, the newest first; those through a relay come behind them, and last those that were put aside. */
  connectionsTo(peerId: PeerId): Connection[] {
    return this.#components.connectionManager
      .getConnections(peerId)
      .filter((connection) => connection.status === 'open')
      .reverse()
      .sort((a, b) => Number(isAside(a)) - Number(isAside(b)) || Number(isRelayed(a.remoteAddr)) - Number(isRelayed(b.remoteAddr)))
  }

  /** False for what no transport here dials. */
  isDialable(address: Multiaddr): boolean {
    return isDnsaddr(address) || this.#components.transportManager.dialTransportForMultiaddr(address) != null
  }

  /** Dials to the same addresses at the same time are one. @throws DialError; the signal's reason */
  async dial(multiaddrs: Multiaddr[], signal?: AbortSignal, permit = TRUSTED): Promise<Connection> {
    signal?.throwIfAborted()
    const key = [permit.trusted, ...multiaddrs.map(String).sort()].join()
    const shared = signal == null ? { key } : { key, signal }
    // one that nobody waits for any more was given up
    const running = this.#running.queue.find((job) => job.options.key === key && job.recipients.length > 0)
    return running != null ? running.join(shared) : this.#running.add(async (job) => this.#dialAll(multiaddrs, job.signal, permit), shared)
  }

  async #dialAll(multiaddrs: Multiaddr[], signal: AbortSignal | undefined, permit: Permit, depth = 0): Promise<Connection> {
    // one each: a connection is bound to the signal it was dialled with, the winner's must never abort
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
   * Where the connecting took long, a handshake that is not done in half its time has company of a second one, and the first that is done wins: on a
   * path that loses packets the other one has other luck.
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
      // no answer of a library is trusted to be about the peer that was asked for
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
      throw new DialFailure('address', 'no transport here dials such an address')
    }
    return this.#components.transportManager.dial(address, permitted({ signal }, permit))
  }
  /** What stands behind a `/dnsaddr`, for the peer that is dialled. @throws DialFailure */
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

/** Of several attempts there is an AggregateError. */
function failuresIn(cause: unknown): DialFailure[] {
  const all = cause instanceof DialError ? cause.cause : cause
  return (all instanceof AggregateError ? all.errors : [all]).filter((error) => error instanceof DialFailure)
}

/** One of a relay is resolved where the relay is dialled. */
function isDnsaddr(address: Multiaddr): boolean {
  return address.getComponents()[0]?.name === 'dnsaddr' && !isRelayed(address)
}
