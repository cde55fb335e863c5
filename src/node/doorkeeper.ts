import type { Connection, Libp2p } from '@libp2p/interface'
import type { ChainRegistry } from '../chain/registry.ts'
import type { Logger } from '../primitives/log.ts'
import type { Door } from './door.ts'

export interface DoorkeeperInit {
  libp2p: Libp2p
  door: Door
  registry: Pick<ChainRegistry, 'watch'>
  log: Logger
}

/** How long a peer that is not let in may ask why; then its connection is closed, and soon cut. */
const GRACE_MS = 1_500
const CUT_MS = 300
/** How often those who are in are looked at again; the door remembers for longer what the chain said. */
const SWEEP_MS = 15_000

/** Turns away whom the door does not let in, at once or when its registration has ended. */
export class Doorkeeper {
  readonly #init: DoorkeeperInit
  #stopped = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #watching: Promise<void> | undefined
  readonly #leaving = new WeakSet<Connection>()

  constructor(init: DoorkeeperInit) {
    this.#init = init
  }

  /** To be called before libp2p starts. */
  start(): void {
    if (this.#timer != null) {
      return
    }
    this.#stopped = new AbortController()
    this.#init.libp2p.addEventListener('connection:open', this.#onOpen)
    this.#timer = setInterval(() => void this.#sweep(), SWEEP_MS).unref()
    this.#watching = this.#watch(this.#stopped.signal)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#stopped.abort(new Error('the node stops'))
    this.#init.libp2p.removeEventListener('connection:open', this.#onOpen)
    await this.#watching
  }

  readonly #onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
    if (this.#init.door.refusalOf(connection.remotePeer) != null) {
      this.#turnAway(connection)
    }
  }

  /** Follows the chain: who is unregistered need not wait for the next sweep. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { registry, door, log } = this.#init
    try {
      for await (const { peers } of registry.watch({ signal })) {
        if (peers == null || peers.length > 0) {
          door.expire(peers)
          await this.#sweep()
        }
      }
    } catch (error) {
      if (!signal.aborted) {
        log.warn('the chain cannot be followed: registrations that end are noticed later', error)
      }
    }
  }

  async #sweep(): Promise<void> {
    const { libp2p, door } = this.#init
    await Promise.all(
      libp2p.getPeers().map(async (peerId) => {
        const verdict = await door.check(peerId)
        if (!verdict.admitted) {
          for (const connection of libp2p.getConnections(peerId)) {
            this.#turnAway(connection)
          }
        }
      }),
    )
  }

  #turnAway(connection: Connection): void {
    if (this.#leaving.has(connection)) {
      return
    }
    this.#leaving.add(connection)
    const reason = this.#init.door.refusalOf(connection.remotePeer) ?? 'it was not let in'
    this.#init.log.info(`turned away (${connection.direction}): ${reason}`)
    const cut = (): void => connection.abort(new Error('not admitted'))
    const closing = setTimeout(() => {
      const cutting = setTimeout(cut, CUT_MS).unref()
      connection.close().then(() => clearTimeout(cutting), cut)
    }, GRACE_MS).unref()
    connection.addEventListener('close', () => clearTimeout(closing), { once: true })
  }
}
