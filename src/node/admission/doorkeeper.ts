import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import type { ChainRegistry } from '../../chain/registry.ts'
import type { Logger } from '../../observe/logger.ts'
import type { Door } from './door.ts'
import type { RefusedPeers } from './refused-peers.ts'

export interface DoorkeeperInit {
  libp2p: Libp2p
  door: Door
  registry: Pick<ChainRegistry, 'watch'>
  /** Remembers peers that the door refuses. */
  refused: RefusedPeers
  log: Logger
}

/** How long a refused peer may ask for the reason before its connection is closed, and how long a close may take, in milliseconds. */
const GRACE_MS = 1_500
const CUT_MS = 300
/** Interval of re-checking connected peers, in milliseconds. The door caches the chain's answers for longer. */
const SWEEP_MS = 15_000
/** Maximum redial delay if the chain gave no answer about a peer, in milliseconds. No event signals that the chain is back. */
const UNCERTAIN_DELAY_MS = 30_000

/**
 * Closes connections to peers that the door refuses, at once or when their registration ends. Also watches the registration of this node.
 */
export class Doorkeeper {
  readonly #init: DoorkeeperInit
  #stopped = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #watching: Promise<void> | undefined
  readonly #leaving = new WeakSet<Connection>()
  /** Undefined until the chain has answered about this node. */
  #isMember: boolean | undefined

  constructor(init: DoorkeeperInit) {
    this.#init = init
  }

  /** Call before libp2p starts. */
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

  /**
   * Why other nodes with these settings would refuse this node. Undefined if they would not, or if the chain gives no answer. Each change
   * is logged once.
   */
  async ownRefusal(signal?: AbortSignal): Promise<string | undefined> {
    const { door, libp2p } = this.#init
    const verdict = await door.check(libp2p.peerId, signal)
    if (verdict.admitted ? !door.isMember(libp2p.peerId) : verdict.kind !== 'not registered') {
      return undefined
    }
    const wasMember = this.#isMember
    this.#isMember = verdict.admitted
    if (verdict.admitted !== (wasMember ?? true)) {
      this.#tellOfChange(verdict.admitted ? undefined : verdict.reason, wasMember)
    }
    return verdict.admitted ? undefined : verdict.reason
  }

  /** Checks a peer with the door. Returns the reason of a refusal. */
  async refusalOf(peerId: PeerId, signal: AbortSignal): Promise<string | undefined> {
    await this.#init.door.check(peerId, signal)
    return this.#note(peerId)
  }

  #tellOfChange(refusal: string | undefined, wasMember: boolean | undefined): void {
    const { log, refused } = this.#init
    if (refusal == null) {
      log.info('this node is registered now: peers that require registration let this node in')
      refused.retry('them')
    } else if (wasMember === true) {
      log.warn(`this node has lost its registration, and peers that require registration no longer let this node in: ${refusal}`)
    } else {
      log.warn(`peers that require registration refuse this node: ${refusal}; "subnet chain register" helps where the chain allows it`)
    }
  }

  readonly #onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
    if (this.#note(connection.remotePeer) != null) {
      this.#turnAway(connection)
    }
  }

  /** Watches the chain, so a peer that is unregistered does not stay until the next sweep. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { registry, door, refused, log } = this.#init
    try {
      for await (const { peers } of registry.watch({ signal })) {
        if (peers == null || peers.length > 0) {
          door.expire(peers)
          await this.#sweep()
          refused.retry('us', peers)
        }
      }
    } catch (error) {
      if (!signal.aborted) {
        log.warn('cannot follow the chain: ended registrations are noticed later', error)
      }
    }
  }

  async #sweep(): Promise<void> {
    const { libp2p, door } = this.#init
    await Promise.all([
      this.ownRefusal(),
      ...libp2p.getPeers().map(async (peerId) => {
        await door.check(peerId)
        if (this.#note(peerId) != null) {
          for (const connection of libp2p.getConnections(peerId)) {
            this.#turnAway(connection)
          }
        }
      }),
    ])
  }

  #turnAway(connection: Connection): void {
    if (this.#leaving.has(connection)) {
      return
    }
    this.#leaving.add(connection)
    const cut = (): void => connection.abort(new Error('not admitted'))
    const closing = setTimeout(() => {
      const cutting = setTimeout(cut, CUT_MS).unref()
      connection.close().then(() => clearTimeout(cutting), cut)
    }, GRACE_MS).unref()
    connection.addEventListener('close', () => clearTimeout(closing), { once: true })
  }

  /** Records the latest verdict about a peer. Returns the reason of a refusal. */
  #note(peerId: PeerId): string | undefined {
    const { door, refused } = this.#init
    const verdict = door.verdictOf(peerId)
    if (verdict.admitted) {
      refused.admitted(peerId, 'us')
      return undefined
    }
    refused.refused(peerId, 'us', verdict.reason, verdict.kind === 'not registered' ? undefined : UNCERTAIN_DELAY_MS)
    return verdict.reason
  }
}
