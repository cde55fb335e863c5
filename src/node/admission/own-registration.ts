import type { PeerId } from '@libp2p/interface'
import type { ChainRegistry } from '../../chain/registry.ts'
import { Deadline } from '../../primitives/deadline.ts'
import type { RefusedPeers } from './refused-peers.ts'

export interface OwnRegistrationInit {
  registry: Pick<ChainRegistry, 'isRegistered'>
  self: PeerId
  refused: Pick<RefusedPeers, 'isTurnedAway' | 'retry'>
  /** Interval of chain queries, in milliseconds. @default 30 s */
  everyMs?: number | undefined
}

const EVERY_MS = 30_000
const CHECK_TIMEOUT_MS = 5_000

/**
 * Notices the registration of a node without a door, so that peers that refused it are redialled at once. The chain is queried only while a
 * peer refuses the node. A node with a door follows the chain and does not need this class.
 */
export class OwnRegistration {
  readonly #init: OwnRegistrationInit
  #timer: NodeJS.Timeout | undefined
  #isRegistered = false

  constructor(init: OwnRegistrationInit) {
    this.#init = init
  }

  /** Idempotent. */
  start(): void {
    this.#timer ??= setInterval(() => void this.#look(), this.#init.everyMs ?? EVERY_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #look(): Promise<void> {
    const { registry, self, refused } = this.#init
    if (!refused.isTurnedAway) {
      this.#isRegistered = false
      return
    }
    try {
      using deadline = new Deadline(CHECK_TIMEOUT_MS)
      const { registered } = await registry.isRegistered(self, 'registered', { signal: deadline.signal })
      if (registered && !this.#isRegistered) {
        refused.retry('them')
      }
      this.#isRegistered = registered
    } catch {
      // an unreachable chain changes nothing
    }
  }
}
