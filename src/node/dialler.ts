import type { Connection, PeerId } from '@libp2p/interface'
import type { ConnectionManager, TransportManager } from '@libp2p/interface-internal'
import { Queue } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { describeError } from '../primitives/errors.ts'

/** The parts of libp2p that open connections. */
export interface DialComponents {
  connectionManager: ConnectionManager
  transportManager: TransportManager
}

/** How long one address may take to connect, secure and multiplex, in milliseconds. */
const ADDRESS_TIMEOUT_MS = 5_000

/** No address led to a connection; the message names each with its own reason. */
export class DialError extends Error {
  override readonly name = 'DialError'
}

/**
 * Dials all addresses of a peer at once; the first that proves to be the peer wins, the others are given up. libp2p's own
 * dial queue tries one after the other, and a dead first address would cost its whole timeout.
 */
export class Dialler {
  readonly #components: DialComponents
  readonly #running = new Queue<Connection, { key: string; signal?: AbortSignal }>()

  constructor(components: DialComponents) {
    this.#components = components
  }

  /** Connections that are open now, the newest first. */
  connectionsTo(peerId: PeerId): Connection[] {
    return this.#components.connectionManager
      .getConnections(peerId)
      .filter((connection) => connection.status === 'open')
      .reverse()
  }

  /** Dials to the same addresses at the same time are one. @throws DialError; the signal's reason */
  async dial(multiaddrs: Multiaddr[], signal?: AbortSignal): Promise<Connection> {
    signal?.throwIfAborted()
    const key = multiaddrs.map(String).sort().join()
    const shared = signal == null ? { key } : { key, signal }
    const running = this.#running.queue.find((job) => job.options.key === key)
    return running != null ? running.join(shared) : this.#running.add(async (job) => this.#dialAll(multiaddrs, job.signal), shared)
  }

  async #dialAll(multiaddrs: Multiaddr[], signal: AbortSignal | undefined): Promise<Connection> {
    // one each: a connection is bound to the signal it was dialled with, the winner's must never abort
    const attempts = multiaddrs.map((address) => ({ address, given: new AbortController() }))
    let winner: Connection | undefined
    const dials = attempts.map(async ({ address, given }) => {
      const connection = await this.#dialOne(address, given, signal)
      if (winner != null) {
        connection.abort(new Error('another address of this peer was faster'))
        return winner
      }
      winner = connection
      for (const other of attempts) {
        if (other.given !== given) {
          other.given.abort()
        }
      }
      return connection
    })
    try {
      return await Promise.any(dials)
    } catch (cause) {
      signal?.throwIfAborted()
      throw new DialError(describeError(cause), { cause })
    }
  }

  async #dialOne(address: Multiaddr, given: AbortController, signal: AbortSignal | undefined): Promise<Connection> {
    const onAbort = (): void => given.abort(signal?.reason)
    const timer = setTimeout(() => given.abort(new Error(`no answer within ${ADDRESS_TIMEOUT_MS} ms`)), ADDRESS_TIMEOUT_MS)
    signal?.addEventListener('abort', onAbort)
    try {
      const { connectionManager, transportManager } = this.#components
      const { signal } = given
      if (transportManager.dialTransportForMultiaddr(address) != null) {
        return await transportManager.dial(address, { signal })
      }
      // names that need resolving first go through the queue, which does that; anything else it would answer with any open connection
      if (!address.toString().startsWith('/dnsaddr/')) {
        throw new Error('no transport here dials such an address')
      }
      return await connectionManager.openConnection(address, { signal, force: true })
    } catch (cause) {
      const reason = given.signal.aborted ? given.signal.reason : cause
      throw new Error(`${address.toString()}: ${describeError(reason)}`, { cause })
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }
}
