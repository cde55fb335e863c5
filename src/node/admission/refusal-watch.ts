import type { Connection, IdentifyResult, Libp2p } from '@libp2p/interface'

export interface RefusalWatchInit {
  libp2p: Libp2p
  /** Asks the other side of an open connection why it does not let this node in, and notes what it says. */
  ask(connection: Connection): Promise<unknown>
}

/**
 * A peer that has not answered identify after this, in milliseconds, is asked whether it lets this node in: longer than most round trips, and
 * well before a peer that does not closes the connection.
 */
const ASK_AFTER_MS = 500

/**
 * Finds out which peers do not let this node in, of connections on which nothing else would tell: those that the DHT, gossip or libp2p opened,
 * and those of the peers themselves. A peer without the admission protocol has nothing to say there.
 */
export class RefusalWatch {
  readonly #init: RefusalWatchInit
  readonly #asking = new Map<Connection, NodeJS.Timeout>()

  constructor(init: RefusalWatchInit) {
    this.#init = init
  }

  /** To be called before libp2p starts. May be called twice. */
  start(): void {
    const { libp2p } = this.#init
    libp2p.addEventListener('connection:open', this.#onOpen)
    libp2p.addEventListener('connection:close', this.#onClose)
    libp2p.addEventListener('peer:identify', this.#onIdentify)
  }

  stop(): void {
    const { libp2p } = this.#init
    libp2p.removeEventListener('connection:open', this.#onOpen)
    libp2p.removeEventListener('connection:close', this.#onClose)
    libp2p.removeEventListener('peer:identify', this.#onIdentify)
    for (const connection of [...this.#asking.keys()]) {
      this.#forget(connection)
    }
  }

  readonly #onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
    const ask = (): void => {
      this.#forget(connection)
      if (connection.status === 'open') {
        void this.#init.ask(connection)
      }
    }
    this.#asking.set(connection, setTimeout(ask, ASK_AFTER_MS).unref())
  }

  readonly #onClose = ({ detail: connection }: CustomEvent<Connection>): void => this.#forget(connection)

  readonly #onIdentify = ({ detail: { connection } }: CustomEvent<IdentifyResult>): void => this.#forget(connection)

  #forget(connection: Connection): void {
    clearTimeout(this.#asking.get(connection))
    this.#asking.delete(connection)
  }
}
