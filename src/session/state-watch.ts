import type { SubnetNode } from '../node/subnet-node.ts'
import type { StatusProblem } from './answers.ts'

export interface StateWatchInit {
  node: Pick<SubnetNode, 'on' | 'reachability' | 'registry' | 'multiaddrs'>
  problems(): Promise<StatusProblem[]>
  tell(event: string, about: object): void
}

/** The interval for polling state without an event. */
const LOOK_EVERY_MS = 2_000

/** Emits changes in a node's state: its problems, chain, reachability and relays. */
export class StateWatch {
  readonly #init: StateWatchInit
  #problems = new Map<string, StatusProblem>()
  #chainError: string | undefined
  #relays: string
  #looking: NodeJS.Timeout | undefined
  #unwatch: (() => void) | undefined
  #stopped = false

  constructor(init: StateWatchInit) {
    this.#init = init
    this.#relays = ''
  }

  start(): void {
    const { node, tell } = this.#init
    this.#unwatch = node.reachability?.onVerdict((verdict) => tell('reachability', { verdict }))
    node.on('addresses', ({ multiaddrs }) => {
      tell('addresses', { multiaddrs })
      this.#lookForRelays(multiaddrs)
    })
    this.#lookForRelays(node.multiaddrs.map(String))
    // a node that has just started has no connections yet
    this.#lookIn(LOOK_EVERY_MS)
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#looking)
    this.#unwatch?.()
  }

  #lookIn(ms: number): void {
    this.#looking = setTimeout(() => {
      void this.#look()
        // an unavailable chain is reported as a problem instead
        .catch(() => undefined)
        .finally(() => (this.#stopped ? undefined : this.#lookIn(LOOK_EVERY_MS)))
    }, ms).unref()
  }

  async #look(): Promise<void> {
    const { node, tell, problems } = this.#init
    const { lastError, endpoint, block } = node.registry.state()
    if (lastError !== this.#chainError) {
      this.#chainError = lastError
      tell('chain', { reachable: lastError == null, endpoint, block: block ?? null, ...(lastError == null ? {} : { detail: lastError }) })
    }
    const now = new Map((await problems()).map((problem) => [keyOf(problem), problem]))
    if (this.#stopped) {
      return
    }
    const before = this.#problems
    this.#problems = now
    for (const [key, problem] of now) {
      if (!before.has(key)) {
        tell('problem:begin', problem)
      }
    }
    for (const [key, problem] of before) {
      if (!now.has(key)) {
        tell('problem:end', problem)
      }
    }
  }

  #lookForRelays(multiaddrs: string[]): void {
    const relayed = multiaddrs.filter((address) => address.includes('/p2p-circuit'))
    if (relayed.join() !== this.#relays) {
      this.#relays = relayed.join()
      this.#init.tell('relay', { multiaddrs: relayed })
    }
  }
}

/** A key for a problem, independent of the numbers in its message. */
function keyOf({ code, severity, message }: StatusProblem): string {
  return [code, severity, message.replace(/\d+/g, '#')].join(' ')
}
