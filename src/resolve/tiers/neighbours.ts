import type { PeerId } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import { describeError } from '../../primitives/errors.ts'
import type { Candidate, FindOptions, Tier } from '../tier.ts'

/** The part of the network that the tier uses. Its candidates are checked: signed records are verified. */
export interface AskPeer {
  /** Connected peers that can be asked, the closest to `target` first. More may follow while connections are being made. */
  neighbours(target: PeerId, options: Pick<FindOptions, 'signal' | 'prolong'>): AsyncIterable<PeerId>
  /** Asks one neighbour. Undefined if it does not know the peer. */
  ask(neighbour: PeerId, target: PeerId, options: { signal: AbortSignal }): Promise<Candidate | undefined>
  /** Walks the Kademlia table; the answer is unsigned. Undefined if the walk ends without an answer. Each dial is taken from `mayDial`. */
  walk(target: PeerId, options: Pick<FindOptions, 'signal' | 'mayDial'>): Promise<Candidate | undefined>
}

/** Maximum number of neighbours asked. */
const MAX_NEIGHBOURS = 8

/** Asks directly connected peers, all at once, and walks the Kademlia table in parallel. */
export class NeighboursTier implements Tier {
  readonly name = 'neighbour'
  readonly order = 200
  readonly needsDial = true
  readonly budgetMs: number
  readonly #network: AskPeer

  constructor(network: AskPeer, options: { budgetMs?: number } = {}) {
    this.#network = network
    this.budgetMs = options.budgetMs ?? 3_000
  }

  async *find(peerId: PeerId, { signal, explain, mayDial, prolong }: FindOptions): AsyncGenerator<Candidate> {
    const enough = new AbortController()
    const answers = new Answers()
    void this.#askAll(peerId, { signal: AbortSignal.any([signal, enough.signal]), mayDial, prolong }, answers)
    try {
      yield* answers.bestFirst(signal)
    } finally {
      // queries still in progress end by themselves and are not awaited
      enough.abort()
    }
    if (answers.given + answers.misses + answers.failures.length === 0) {
      explain?.('no connected peer to ask, and the Kademlia walk found nothing')
    }
    if (answers.failures.length > 0 && answers.given === 0 && answers.misses === 0) {
      throw new AggregateError(answers.failures, describeError(new AggregateError(answers.failures)))
    }
  }

  /** Never rejects: errors are among the answers. */
  async #askAll(peerId: PeerId, options: Omit<FindOptions, 'explain'>, answers: Answers): Promise<void> {
    const { signal, prolong } = options
    const asked = [answers.add(async () => this.#network.walk(peerId, options), signal, { optional: true })]
    try {
      for await (const neighbour of this.#network.neighbours(peerId, { signal, prolong })) {
        if (asked.push(answers.add(async () => this.#network.ask(neighbour, peerId, { signal }), signal)) > MAX_NEIGHBOURS) {
          break
        }
      }
    } catch (error) {
      if (!signal.aborted) {
        answers.failures.push(error)
      }
    }
    await Promise.all(asked)
    answers.end()
  }
}

/** Collects answers as they arrive and yields those with the highest sequence number first. */
class Answers {
  readonly failures: unknown[] = []
  given = 0
  misses = 0
  readonly #waiting: Candidate[] = []
  #ended = false
  #wake: (() => void) | undefined

  async add(ask: () => Promise<Candidate | undefined>, signal: AbortSignal, { optional = false } = {}): Promise<void> {
    try {
      const candidate = await raceSignal(ask(), signal)
      if (candidate != null) {
        this.#waiting.push(candidate)
        this.#wake?.()
      } else if (!optional) {
        this.misses++
      }
    } catch (error) {
      if (!signal.aborted && !optional) {
        this.failures.push(error)
      }
    }
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** Ends when every query is done. If the signal aborts, ends after the answers that have arrived. */
  async *bestFirst(signal: AbortSignal): AsyncGenerator<Candidate> {
    while (true) {
      const best = this.#takeBest()
      if (best != null) {
        this.given++
        yield best
      } else if (this.#ended || signal.aborted) {
        return
      } else {
        await this.#change(signal)
      }
    }
  }

  async #change(signal: AbortSignal): Promise<void> {
    const changed = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    await raceSignal(changed, signal).catch((error) => {
      if (!signal.aborted) {
        throw error
      }
    })
  }

  #takeBest(): Candidate | undefined {
    const best = this.#waiting.reduce<Candidate | undefined>((a, b) => (a == null || b.seq > a.seq ? b : a), undefined)
    if (best != null) {
      this.#waiting.splice(this.#waiting.indexOf(best), 1)
    }
    return best
  }
}
