import type { Connection, IdentifyResult, Libp2p } from '@libp2p/interface'

export interface RefusalWatchInit {
  libp2p: Libp2p
  /** Asks the remote peer of an open connection why it refuses this node, and records the answer. */
  ask(connection: Connection): Promise<unknown>
}

/**
 * Wait for a peer's identify message before asking whether it refuses this node, in milliseconds. This is longer than most round trips, and
 * well before a refusing peer closes the connection.
 */
const ASK_AFTER_MS = 500

/**
 * Detects peers that refuse this node on connections that no call uses: connections opened by the DHT, gossip or libp2p, and inbound ones.
 * A peer without the admission protocol reports no reason.
 */
export class RefusalWatch {
  readonly #init: RefusalWatchInit
  readonly #asking = new Map<Connection, NodeJS.Timeout>()

  constructor(init: RefusalWatchInit) {
    this.#init = init
  }

  /** Call before libp2p starts. Idempotent. */
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
