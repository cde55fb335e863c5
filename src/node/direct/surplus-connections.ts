import type { Connection, Libp2p } from '@libp2p/interface'
import type { Logger } from '../../observe/logger.ts'
import { isRelayed } from '../../primitives/address-kind.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { isAside } from '../dial/aside.ts'
import { isInUse } from '../stack/displacement.ts'

export interface SurplusConnectionsInit {
  libp2p: Pick<Libp2p, 'getConnections' | 'addEventListener' | 'removeEventListener'>
  /** True for a connection whose remote peer may be gone. */
  inDoubt(connection: Connection): boolean
  log: Logger
  now?: (() => number) | undefined
}

/** Required idle time before closing, in milliseconds. The dialling side closes first, because most calls are its own. */
const GRACE_MS = { outbound: 5_000, inbound: 20_000 }
const LOOK_EVERY_MS = 1_000
/** Time limit of a close, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2_000

/**
 * Closes connections that are no longer needed: a relayed connection once there is a direct one to the same peer, and connections passed to
 * `add`. A connection with a call in progress stays open.
 */
export class SurplusConnections {
  readonly #init: SurplusConnectionsInit
  readonly #now: () => number
  readonly #added = new WeakSet<Connection>()
  /** Start of each connection's idle time. */
  #idleSinceMs = new Map<Connection, number>()
  #timer: NodeJS.Timeout | undefined

  constructor(init: SurplusConnectionsInit) {
    this.#init = init
    this.#now = init.now ?? (() => performance.now())
  }

  start(): void {
    this.#init.libp2p.addEventListener('connection:open', this.#onOpen)
  }

  stop(): void {
    this.#init.libp2p.removeEventListener('connection:open', this.#onOpen)
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Marks a connection for closing, regardless of other connections to its peer. */
  add(connection: Connection): void {
    this.#added.add(connection)
    this.look()
  }

  /** Checks all connections now, and then every second while any may have to be closed. */
  readonly look = (): void => {
    const open = this.#init.libp2p.getConnections().filter(({ status }) => status === 'open')
    const surplus = this.#surplus(open)
    const now = this.#now()
    const before = this.#idleSinceMs
    this.#idleSinceMs = new Map(surplus.filter((each) => !isInUse(each)).map((each) => [each, before.get(each) ?? now]))
    for (const [connection, sinceMs] of this.#idleSinceMs) {
      if (now - sinceMs >= GRACE_MS[connection.direction]) {
        void this.#close(connection)
      }
    }
    // a connection in doubt may recover
    if (surplus.length === 0 && !open.some(({ remoteAddr }) => isRelayed(remoteAddr))) {
      clearInterval(this.#timer)
      this.#timer = undefined
    } else {
      this.#onOpen()
    }
  }

  /** All connections are checked once per second, however many are opened. */
  readonly #onOpen = (): void => {
    this.#timer ??= setInterval(this.look, LOOK_EVERY_MS).unref()
  }

  #surplus(open: Connection[]): Connection[] {
    const direct = new Set(open.filter((each) => this.#isUsable(each)).map(({ remotePeer }) => remotePeer.toString()))
    return open.filter((each) => this.#added.has(each) || (isRelayed(each.remoteAddr) && direct.has(each.remotePeer.toString())))
  }

  #isUsable(connection: Connection): boolean {
    return !isRelayed(connection.remoteAddr) && !isAside(connection) && !this.#init.inDoubt(connection)
  }

  async #close(connection: Connection): Promise<void> {
    const { remotePeer: peer, remoteAddr: address } = connection
    this.#init.log.debug('a connection that is not needed any more is closed', undefined, { peer, address })
    using deadline = new Deadline(CLOSE_TIMEOUT_MS)
    await connection.close({ signal: deadline.signal }).catch((error: Error) => connection.abort(error))
  }
}
