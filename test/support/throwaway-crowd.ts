import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** A visit of throw-away peers to one node. */
export interface Crowd {
  /** The node's multiaddr. */
  address: string
  kadProtocol: string
  /** The index of the first peer. */
  first: number
  count: number
  atOnce: number
  /** One in so many makes calls of each kind; the others make one call, and listen to nobody: that costs a third. */
  thoroughEvery: number
}

export interface VisitOptions {
  /** How many of them may fail, on a machine that is busy. @default 0 */
  mayFail?: number
  /** @default 8 */
  atOnce?: number
  /** One in so many makes calls of each kind, the others one. @default 1 */
  thoroughEvery?: number
}

export interface CrowdAnswer {
  /** Peers without a failure. */
  lived: number
  /** The first few failures. */
  failures: string[]
}

/** One in five breaks its connection off as soon as it has it. */
export function passesBy(index: number): boolean {
  return index % 5 === 4
}

/** A child process that runs throw-away peers, so that their memory does not count here. */
export class ThrowawayPeers {
  readonly #child: ChildProcess
  readonly #ended: Promise<never>
  #lived = 0
  /** Peers that failed. */
  failed = 0

  constructor() {
    this.#child = fork(new URL('./throwaway-peers.ts', import.meta.url))
    this.#ended = once(this.#child, 'close').then(() => Promise.reject(new Error('the process of throw-away peers ended')))
    this.#ended.catch(() => undefined)
  }

  /**
   * Each of `count` peers has a new identity, makes its calls, and disconnects. Gives the number of tasks sent.
   * @throws Error if more peers failed than may
   */
  async visit(address: string, kadProtocol: string, count: number, options: VisitOptions = {}): Promise<number> {
    const { mayFail = 0, atOnce = 8, thoroughEvery = 1 } = options
    const first = this.#lived
    this.#child.send({ address, kadProtocol, first, count, atOnce, thoroughEvery } satisfies Crowd)
    const [{ lived, failures }] = (await Promise.race([once(this.#child, 'message'), this.#ended])) as [CrowdAnswer]
    this.#lived += count
    this.failed += count - lived
    if (lived < count - mayFail) {
      throw new Error(`only ${lived} of ${count} peers had no failure: ${failures.join('; ')}`)
    }
    return Array.from({ length: count }, (_, index) => first + index).filter((index) => !passesBy(index)).length
  }

  async end(): Promise<void> {
    if (this.#child.exitCode == null && this.#child.signalCode == null) {
      const closed = once(this.#child, 'close')
      this.#child.kill('SIGKILL')
      await closed
    }
  }
}
