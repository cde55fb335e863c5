import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Connection, Libp2p, PeerId, Stream } from '@libp2p/interface'
import type { TransportManager } from '@libp2p/interface-internal'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Logger } from '../../observe/logger.ts'
import { addressesOf, peerIdOf } from '../../primitives/address.ts'
import { isRelayed, kindOf } from '../../primitives/address-kind.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { type Rate, TokenBuckets } from '../../primitives/token-bucket.ts'
import { guardedHandler } from '../adapters/guarded-components.ts'
import { DialFailure } from '../dial/dial-failure.ts'
import { permitted } from '../dial/dial-permit.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { notePassingAddress } from '../dial/passing-address.ts'
import { HOLE_PUNCH_PROTOCOL_ID, holePunchStream } from './hole-punch-stream.ts'
import type { PunchPort, PunchPorts } from './punch-ports.ts'

export interface HolePuncherInit {
  libp2p: Pick<Libp2p, 'handle'>
  transports: Pick<TransportManager, 'dial'>
  ports: Pick<PunchPorts, 'open'>
  policy: Pick<DialPolicy, 'refusalOf'>
  /** False for a peer that the door refuses. */
  admits(peerId: PeerId): boolean
  /** True if there is a direct connection to a peer. */
  isDirect(peerId: PeerId): boolean
  log: Logger
  now?: (() => number) | undefined
}

/** The role of one side in a dial. */
interface Part {
  /** True for the side that begins the handshake. */
  initiator: boolean
  over: AbortSignal
}

/** Maximum attempts, as in other implementations. */
const MAX_TRIES = 3
/** Maximum addresses to dial: one per IP family. */
const MAX_ADDRESSES = 2
/** Time limit for exchanging addresses, including a connection to the relay, in milliseconds. */
const AGREE_TIMEOUT_MS = 5_000
/** Time limit of one dial, in milliseconds. The kernel sends a SYN at 0, 1 and 3 s. */
const DIAL_TIMEOUT_MS = 4_000
/**
 * Redials of a refusing address within one attempt, with bounds of the delay in milliseconds. A router that refuses unsolicited packets
 * lets them in once the other side has dialled.
 */
const REDIALS = { max: 4, minMs: 30, maxMs: 150 }
/** Rate limits of inbound requests, per peer and in total. */
const RATES = { peer: { burst: 6, refillMs: 60_000 }, all: { burst: 32, refillMs: 2_000 } } satisfies Record<string, Rate>
const MAX_REMEMBERED = 1_024
const MAX_RUNNING = 8
/** Maximum streams per relayed connection. */
const MAX_STREAMS = 2

/**
 * TCP hole punching with DCUtR. Two peers behind routers dial each other at the same time, each from a port without a listener. Each dials
 * the address that the other's relay observed for that port. It works if both routers preserve the port of outbound connections and drop
 * unsolicited packets.
 */
export class HolePuncher {
  readonly #init: HolePuncherInit
  readonly #tokens: TokenBuckets
  /** Attempts in progress by the requesting peer, with a controller to abort each. */
  readonly #running = new Map<string, AbortController>()
  /** Relayed connections with an earlier attempt, for which another one is pointless. */
  readonly #vain = new WeakSet<Connection>()
  readonly #closing = new AbortController()

  constructor(init: HolePuncherInit) {
    this.#init = init
    this.#tokens = new TokenBuckets({ maxKeys: MAX_REMEMBERED, ...(init.now == null ? {} : { now: init.now }) })
  }

  /** Call before libp2p starts. */
  start(): void {
    const { libp2p, admits, log } = this.#init
    const limits = { maxInboundStreams: MAX_STREAMS, maxOutboundStreams: MAX_STREAMS, runOnLimitedConnection: true }
    const handler = guardedHandler((stream, connection) => this.#onStream(stream, connection), admits)
    Promise.resolve(libp2p.handle(HOLE_PUNCH_PROTOCOL_ID, handler, limits)).catch((error) => log.warn('hole punching is disabled', error))
  }

  /** Aborts attempts in progress. */
  stop(): void {
    this.#closing.abort(new Error('the node stops'))
  }

  /**
   * Tries to establish a direct connection to the caller of a relayed connection.
   * @throws Error with the reason of the last attempt
   */
  async punch(relayed: Connection): Promise<Connection> {
    let failure: unknown
    for (let tries = 1; tries <= MAX_TRIES; tries++) {
      this.#closing.signal.throwIfAborted()
      try {
        return await this.#tryToPunch(relayed)
      } catch (error) {
        failure = error
        const { remotePeer: peer, remoteAddr: relay } = relayed
        this.#init.log.debug('a hole was not punched', error, { peer, relay, try: tries })
        if (relayed.status !== 'open' || this.#vain.has(relayed) || !(error instanceof DialFailure)) {
          break
        }
      }
    }
    throw failure
  }

  /** Runs one attempt as the called side. In the handshake of the new connection, this side acts as the listener. */
  async #tryToPunch(relayed: Connection): Promise<Connection> {
    using deadline = new Deadline(AGREE_TIMEOUT_MS, this.#closing.signal)
    const { signal } = deadline
    const port = await this.#init.ports.open(relayed, signal)
    try {
      const { addresses, roundTripMs } = await this.#agree(relayed, port, signal)
      deadline.clear()
      await delay(roundTripMs / 2, undefined, { signal: this.#closing.signal })
      return await this.#dial(relayed, addresses, port, { initiator: false, over: this.#closing.signal })
    } finally {
      port.release()
    }
  }

  async #agree(relayed: Connection, port: PunchPort, signal: AbortSignal): Promise<{ addresses: Multiaddr[]; roundTripMs: number }> {
    const startedAtMs = performance.now()
    const stream = await relayed.newStream(HOLE_PUNCH_PROTOCOL_ID, { signal, runOnLimitedConnection: true })
    try {
      const openedAtMs = performance.now()
      const messages = holePunchStream(stream)
      await messages.sendConnect([port.mapped], signal)
      const addresses = this.#dialable(relayed.remotePeer, await messages.readConnect(signal))
      // opening the stream took one round trip; the exchange may be slower if the other side first asks its relay
      const roundTripMs = Math.min(openedAtMs - startedAtMs, performance.now() - openedAtMs)
      await messages.sendSync(signal)
      await stream.close({ signal })
      return { addresses, roundTripMs }
    } catch (error) {
      stream.abort(error as Error)
      throw error
    }
  }

  /** Answers a request as the calling side. */
  async #onStream(stream: Stream, relayed: Connection): Promise<void> {
    const { remotePeer, remoteAddr: relay, direction } = relayed
    const peer = remotePeer.toString()
    const isAskable = direction === 'outbound' && isRelayed(relay) && !this.#vain.has(relayed) && !this.#init.isDirect(remotePeer)
    if (!isAskable || !this.#hasRoom(peer)) {
      stream.abort(new Error('no hole is punched for this peer now'))
      return
    }
    // the other side has given up its previous attempt
    this.#running.get(peer)?.abort(new Error('the peer tries again'))
    const over = new AbortController()
    this.#running.set(peer, over)
    try {
      const { remoteAddr: address } = await this.#answer(stream, relayed, AbortSignal.any([over.signal, this.#closing.signal]))
      this.#init.log.debug('a hole was punched, as the peer asked for it', undefined, { peer, address, relay })
    } catch (error) {
      stream.abort(error as Error)
      this.#init.log.debug('a hole was not punched, though the peer asked for it', error, { peer, relay })
    } finally {
      if (this.#running.get(peer) === over) {
        this.#running.delete(peer)
      }
    }
  }

  async #answer(stream: Stream, relayed: Connection, over: AbortSignal): Promise<Connection> {
    using deadline = new Deadline(AGREE_TIMEOUT_MS, over)
    const { signal } = deadline
    const messages = holePunchStream(stream)
    const addresses = this.#dialable(relayed.remotePeer, await messages.readConnect(signal))
    const port = await this.#init.ports.open(relayed, signal)
    try {
      await messages.sendConnect([port.mapped], signal)
      await messages.readSync(signal)
      deadline.clear()
      stream.close().catch((error: Error) => stream.abort(error))
      return await this.#dial(relayed, addresses, port, { initiator: true, over })
    } finally {
      port.release()
    }
  }

  #hasRoom(peer: string): boolean {
    return (
      (this.#running.has(peer) || this.#running.size < MAX_RUNNING) &&
      this.#tokens.take(`peer ${peer}`, RATES.peer) &&
      this.#tokens.take('all', RATES.all)
    )
  }

  /** Selects IP addresses with TCP that the policy allows from a stranger. @throws Error if there are none */
  #dialable(peerId: PeerId, named: Multiaddr[]): Multiaddr[] {
    const direct = named.filter((address) => !isRelayed(address) && kindOf(address) !== 'name' && isTcp(address))
    const allowed = addressesOf(peerId, direct, Number.POSITIVE_INFINITY)
      .filter((address) => this.#init.policy.refusalOf(address, 'stranger') == null)
      .slice(0, MAX_ADDRESSES)
    if (allowed.length === 0) {
      throw new Error('the peer names no address that may be dialled')
    }
    return allowed
  }

  /** Dials all addresses. The first connection wins. @throws DialFailure */
  async #dial(relayed: Connection, addresses: Multiaddr[], port: PunchPort, { initiator, over }: Part): Promise<Connection> {
    const { localPort, isKept } = port
    const { remotePeer } = relayed
    if (!isKept) {
      this.#vain.add(relayed)
    }
    using deadline = new Deadline(DIAL_TIMEOUT_MS, over)
    // one controller each: a connection is bound to its dial's signal
    const controllers = addresses.map(() => new AbortController())
    const giveUp = (winner?: AbortController): void => {
      for (const each of controllers) {
        if (each !== winner) {
          each.abort(new Error('no answer'))
        }
      }
    }
    let isOver = false
    const dials = addresses.map(async (address, index) => {
      const given = controllers[index] as AbortController
      const connection = await this.#dialOne(address, { signal: given.signal, localPort, initiator })
      if (!connection.remotePeer.equals(peerIdOf(address))) {
        connection.abort(new Error('another peer answers there'))
        throw DialFailure.wrongPeer(connection.remotePeer, remotePeer)
      }
      if (isOver) {
        connection.abort(new Error('another address of this peer was faster'))
      }
      isOver = true
      notePassingAddress(connection)
      giveUp(given)
      return connection
    })
    try {
      return await deadline.race(Promise.any(dials))
    } catch (error) {
      giveUp()
      const cause = error instanceof AggregateError ? error.errors[0] : error
      throw cause instanceof DialFailure ? cause : new DialFailure('timeout', 'no answer', { cause })
    }
  }

  async #dialOne(address: Multiaddr, options: { signal: AbortSignal; localPort: number; initiator: boolean }): Promise<Connection> {
    for (let redials = 0; ; redials++) {
      try {
        return await this.#init.transports.dial(address, permitted(options, { trusted: false, more: () => false }))
      } catch (error) {
        if (!(error instanceof DialFailure) || error.kind !== 'refused' || redials === REDIALS.max) {
          throw error
        }
        await delay(randomInt(REDIALS.minMs, REDIALS.maxMs), undefined, { signal: options.signal })
      }
    }
  }
}

function isTcp(address: Multiaddr): boolean {
  const [, transport, ...more] = address.getComponents()
  return transport?.name === 'tcp' && more.every(({ name }) => name === 'p2p')
}
