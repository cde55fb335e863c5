import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** What the process with throw-away peers is asked. */
export interface Crowd {
  /** Whom they visit. */
  address: string
  kadProtocol: string
  /** The number of the first of them. */
  first: number
  count: number
}

export interface CrowdAnswer {
  /** Peers that did all they came for. */
  lived: number
  /** Why the first few others did not. */
  failures: string[]
}

/** One in five breaks its connection off as soon as it has it. */
export function passesBy(index: number): boolean {
  return index % 5 === 4
}

/** A process of peers that nobody will meet again: what they take up in memory is not this process's. */
export class ThrowawayPeers {
  readonly #child: ChildProcess
  #lived = 0

  constructor() {
    this.#child = fork(new URL('./throwaway-peers.ts', import.meta.url))
  }

  /**
   * So many come, each under an identity of its own, do a bit of everything, and are gone. Gives how many sent a task.
   * @throws Error where one could not do what it came for
   */
  async visit(address: string, kadProtocol: string, count: number): Promise<number> {
    const first = this.#lived
    this.#child.send({ address, kadProtocol, first, count } satisfies Crowd)
    const ended = once(this.#child, 'close').then(() => Promise.reject(new Error('the process of throw-away peers ended')))
    const [{ lived, failures }] = (await Promise.race([once(this.#child, 'message'), ended])) as [CrowdAnswer]
    this.#lived += count
    if (lived < count) {
      throw new Error(`only ${lived} of ${count} peers did all they came for: ${failures.join('; ')}`)
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
