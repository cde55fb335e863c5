import { setMaxListeners } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { yamux } from '@chainsafe/libp2p-yamux'
import type { Libp2p } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { getNetConfig } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { eventually } from './protocol-host.ts'

const AT_ONCE = 32
/** Who is turned away comes again after this: a socket costs the attacker little, a handshake more. */
const REFILL_SOCKET_MS = 50
const REFILL_STRANGER_MS = 2_000

/** A libp2p that dials from one address of this machine, and does nothing else. It has a throw-away identity. */
export async function strangerAt(localAddress: string): Promise<Libp2p> {
  // what goes to the socket as it is, typed or not
  const dialOpts: object = { localAddress }
  return createLibp2p({
    transports: [tcp({ dialOpts })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  })
}

/** Sockets of one address that never begin a handshake, as many at a time; one that is closed is replaced. */
export class HalfOpenSockets {
  readonly #sockets = new Set<Socket>()
  readonly #from: string
  readonly #to: { host: string; port: number }
  #stopped = false
  /** Sockets that were opened, and those of them that the other side closed. */
  opened = 0
  closed = 0

  constructor(from: string, to: Multiaddr) {
    const { host, port } = getNetConfig(to)
    this.#from = from
    this.#to = { host, port: Number(port) }
  }

  get size(): number {
    return this.#sockets.size
  }

  keep(count: number): void {
    for (let index = 0; index < count; index++) {
      this.#open()
    }
  }

  stop(): void {
    this.#stopped = true
    for (const socket of this.#sockets) {
      socket.destroy()
    }
  }

  #open(): void {
    const socket = connect({ ...this.#to, localAddress: this.#from })
    socket.on('connect', () => {
      this.opened++
      this.#sockets.add(socket)
    })
    // to notice that the other side closes it
    socket.resume()
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      if (!this.#stopped) {
        this.closed++
        setTimeout(() => (this.#stopped ? undefined : this.#open()), REFILL_SOCKET_MS)
      }
    })
  }
}

/** Finished connections of throw-away identities, without calls, as many at a time; one that is closed is replaced. */
export class IdleStrangers {
  readonly #from: (index: number) => string
  readonly #to: Multiaddr
  readonly #running = new Set<Promise<void>>()
  readonly #stopped = new AbortController()
  /** Connections that are open now, and dials that have ended. */
  size = 0
  tried = 0

  /** @param from one address for all, or one for each */
  constructor(from: string | ((index: number) => string), to: Multiaddr) {
    setMaxListeners(0, this.#stopped.signal)
    this.#from = typeof from === 'string' ? () => from : from
    this.#to = to
  }

  /** Goes on once each has dialled once. */
  async keep(count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      this.#running.add(this.#keepOne(this.#from(index)))
      // not more handshakes at a time than there are places for
      await eventually(() => this.tried > index - AT_ONCE, `${index} strangers`)
    }
    await eventually(() => this.tried >= count, `${count} strangers`, 30_000)
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.all(this.#running)
  }

  async #keepOne(from: string): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      const stranger = await strangerAt(from)
      const connection = await stranger.dial(this.#to, { signal }).catch(() => undefined)
      this.tried++
      if (connection?.status === 'open') {
        this.size++
        await new Promise((resolve) => {
          connection.addEventListener('close', resolve, { once: true })
          signal.addEventListener('abort', resolve, { once: true })
        })
        this.size--
      }
      await stranger.stop()
      await delay(REFILL_STRANGER_MS, undefined, { signal }).catch(() => undefined)
    }
  }
}
