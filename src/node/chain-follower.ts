import type { ChainRegistry } from '../chain/registry.ts'
import type { Logger } from '../observe/logger.ts'

export interface ChainFollowerInit {
  registry: Pick<ChainRegistry, 'watch'>
  log: Logger
}

/**
 * Follows the blocks of the chain while the node runs, at the cost of one header per block. The registry then notices when the chain
 * stalls.
 */
export class ChainFollower {
  readonly #init: ChainFollowerInit
  readonly #stopped = new AbortController()
  #following: Promise<void> | undefined

  constructor(init: ChainFollowerInit) {
    this.#init = init
  }

  /** Idempotent. */
  start(): void {
    this.#following ??= this.#follow()
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the node stops'))
    await this.#following
  }

  async #follow(): Promise<void> {
    const { registry, log } = this.#init
    const { signal } = this.#stopped
    try {
      for await (const _ of registry.watch({ signal, only: 'blocks' })) {
        // the registry records each block itself
      }
    } catch (error) {
      if (!signal.aborted) {
        log.error('the node no longer follows the chain', error)
      }
    }
  }
}
