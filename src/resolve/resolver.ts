import type { PeerId } from '@libp2p/interface'
import { Queue } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { farthestFirst } from '../primitives/address.ts'
import { Deadline } from '../primitives/deadline.ts'
import { describeError, SubnetError, UsageError } from '../primitives/errors.ts'
import { type Attempt, type Outcome, ResolveError } from './errors.ts'
import type { Candidate, Tier } from './tier.ts'

/**
 * Tries the addresses of an answer. What it throws refutes them, and the resolution goes on. Each address is one dial; `more` takes one
 * for every further place that an address leads to, and is false where none is left.
 */
export type Judge<T> = (multiaddrs: Multiaddr[], candidate: Candidate, signal: AbortSignal | undefined, more: () => boolean) => Promise<T>

/** What an error of a judge may carry beside its message. A resolution gives the hint of the greatest weight. */
export interface Refutation {
  hint: string | undefined
  weight: number
  /** What the peer itself said. Another one on the path of an address that the peer did not sign may have said it instead. */
  verdict: 'NOT_ADMITTED' | undefined
}

/** What may narrow a resolution. */
export interface ResolveOptions {
  signal?: AbortSignal | undefined
  /** Ask only these tiers, by their names. @default all, in order */
  tiers?: readonly string[] | undefined
  /** Answers older than this, in milliseconds, are no answers. */
  maxAgeMs?: number | undefined
}

/** The answer that passed, what its judge gave for it, and every step to it. */
export interface Resolution<T> {
  candidate: Candidate
  value: T
  attempts: Attempt[]
}

/** What the resolver tells about addresses that it tried, and what it asks when nothing else is left. */
export interface ResolverMemory {
  /** Every address of this answer failed. */
  refuted(peerId: PeerId, candidate: Candidate): Promise<void>
  /** Told of each step of a resolution. */
  tried?(peerId: PeerId, attempt: Attempt): void
  /** Told of the end of a resolution. */
  ended?(peerId: PeerId, end: { found: boolean; ms: number; attempts: readonly Attempt[] }): void
  /** What to do about a peer that no tier knows, where this node knows more than that. */
  hint?(): string | undefined
  /** Why this node could ask nobody: those that it knows do not let it in. */
  refusal?(): { message: string; hint: string | undefined } | undefined
}

/** Peers can sign other people's addresses: one resolution never dials more than this many. */
const MAX_DIALLED = 16
/** Of these, kept for each tier that is still to be asked. */
const RESERVED_PER_TIER = 4
/** Dials that a tier's search leaves for its own answers. */
const KEPT_FOR_ANSWERS = 4
/** Of an answer that nobody signed. */
const MAX_UNSIGNED = 4

/** Sources of addresses that are no tiers. */
const NO_TIERS = ['given', 'connected', 'dialled']

/** Asks one tier after the other until an answer passes its judge: the first that does wins, the rest are skipped. */
export class Resolver {
  readonly #tiers: readonly Tier[]
  readonly #memory: ResolverMemory
  readonly #running = new Queue<Resolution<unknown>, { key: string; signal?: AbortSignal }>()

  /** @throws UsageError for a tier that has the name of another */
  constructor(tiers: readonly Tier[], memory: ResolverMemory) {
    this.#tiers = tiers.toSorted((a, b) => a.order - b.order)
    this.#memory = memory
    const names = [...NO_TIERS, ...this.tierNames]
    const taken = names.find((name, index) => names.indexOf(name) !== index)
    if (taken != null) {
      throw new UsageError(`a tier cannot be called ${JSON.stringify(taken)}: there is another one, or another source of addresses`)
    }
  }

  /** Of all tiers, in the order in which they are asked. */
  get tierNames(): string[] {
    return this.#tiers.map(({ name }) => name)
  }

  /**
   * Finds an answer that `judge` accepts. Resolutions of one peer that run at the same time with the same `purpose` and
   * options are one resolution: then the first one's judge decides for all.
   * @throws ResolveError, UsageError for a tier that is not there; the reason of `options.signal`
   */
  async resolve<T>(peerId: PeerId, purpose: string, judge: Judge<T>, options: ResolveOptions = {}): Promise<Resolution<T>> {
    options.signal?.throwIfAborted()
    this.#checkNames(options.tiers)
    const key = [purpose, peerId.toString(), options.tiers?.join(), options.maxAgeMs].join(' ')
    const shared = options.signal == null ? { key } : { key, signal: options.signal }
    // one that nobody waits for any more has ended, or was given up by all
    const running = this.#running.queue.find((job) => job.options.key === key && job.recipients.length > 0)
    const resolution =
      running != null
        ? running.join(shared)
        : this.#running.add(async ({ signal }) => new Run(this.#tiers, this.#memory, peerId, judge, { ...options, signal }).run(), shared)
    return (await resolution) as Resolution<T>
  }

  #checkNames(chosen: readonly string[] = []): void {
    const none = chosen.find((name) => !this.tierNames.includes(name))
    if (none != null) {
      throw new UsageError(`there is no tier ${JSON.stringify(none)}; there is ${this.tierNames.join(', ')}`)
    }
  }
}

/** One resolution. */
class Run<T> {
  readonly #tiers: readonly Tier[]
  readonly #memory: ResolverMemory
  readonly #peerId: PeerId
  readonly #judge: Judge<T>
  readonly #options: ResolveOptions
  readonly #attempts: Attempt[] = []
  readonly #refuted = new Set<string>()
  #dialsLeft = MAX_DIALLED
  #lastFailure: unknown
  #mostTelling: Refutation | undefined
  /** A peer refused at an address that it signed: nothing else is asked. */
  #isOver = false
  /** The tier of which nobody knows whether it has the peer, and why it failed. */
  #unknown: { tier: string; error: unknown } | undefined

  constructor(tiers: readonly Tier[], memory: ResolverMemory, peerId: PeerId, judge: Judge<T>, options: ResolveOptions) {
    this.#tiers = tiers
    this.#memory = memory
    this.#peerId = peerId
    this.#judge = judge
    this.#options = options
  }

  async run(): Promise<Resolution<T>> {
    const startedAtMs = performance.now()
    let isFound = false
    try {
      const resolution = await this.#run()
      isFound = true
      return resolution
    } finally {
      this.#memory.ended?.(this.#peerId, { found: isFound, ms: performance.now() - startedAtMs, attempts: this.#attempts })
    }
  }

  async #run(): Promise<Resolution<T>> {
    let found: Omit<Resolution<T>, 'attempts'> | undefined
    for (const tier of this.#tiers) {
      const reason = this.#isChosen(tier) ? this.#whyNotOn(found != null) : 'not asked for'
      if (reason != null) {
        this.#note({ tier: tier.name, outcome: 'skipped', ms: 0, detail: reason })
      } else {
        found = await this.#ask(tier)
      }
    }
    for (const tier of this.#tiers.filter((each) => this.#isChosen(each))) {
      found ??= this.#isOver ? undefined : await this.#tryLastResort(tier)
    }
    if (found == null) {
      throw this.#failure()
    }
    return { ...found, attempts: this.#attempts }
  }

  #note(attempt: Attempt): void {
    this.#attempts.push(attempt)
    this.#memory.tried?.(this.#peerId, attempt)
  }

  #isChosen({ name }: Tier): boolean {
    return this.#options.tiers?.includes(name) !== false
  }

  get #verdict(): Refutation['verdict'] {
    return this.#mostTelling?.verdict
  }

  /** Undefined while there is something left to find out. */
  #whyNotOn(found: boolean): string | undefined {
    if (found) {
      return 'already found'
    }
    return this.#isOver ? 'the peer refused' : undefined
  }

  async #ask(tier: Tier): Promise<Omit<Resolution<T>, 'attempts'> | undefined> {
    const startedAtMs = performance.now()
    using budget = new Deadline(tier.budgetMs, this.#options.signal)
    const failures: string[] = []
    let miss = 'not known'
    const note = (outcome: Outcome, detail: string): void => {
      this.#note({ tier: tier.name, outcome, ms: performance.now() - startedAtMs, detail })
    }
    try {
      const explain = (detail: string): void => {
        miss = detail
      }
      const { signal } = budget
      const mayDial = (): boolean => tier.needsDial === true && this.#takeDials(1, this.#reservedAfter(tier) + KEPT_FOR_ANSWERS) === 1
      for await (const candidate of tier.find(this.#peerId, { signal, explain, mayDial, prolong: (ms) => budget.prolong(ms) })) {
        if (this.#isTooOld(candidate)) {
          miss = `known, but ${candidate.ageMs} ms old`
          continue
        }
        const judged = await this.#try(candidate, this.#reservedAfter(tier))
        if ('value' in judged) {
          note('hit', [candidate.detail, ...failures].join('; '))
          return { candidate, value: judged.value }
        }
        failures.push(judged.failure)
        if (this.#isOver) {
          break
        }
      }
    } catch (error) {
      this.#options.signal?.throwIfAborted()
      this.#unknown = tier.silence === 'unknown' ? { tier: tier.name, error } : this.#unknown
      if (error !== budget.reason) {
        failures.push(describeError(error))
      }
    }
    this.#options.signal?.throwIfAborted()
    note(...nothingFound(failures, budget, miss))
    return undefined
  }

  #isTooOld({ ageMs = 0 }: Candidate): boolean {
    return ageMs > (this.#options.maxAgeMs ?? Number.POSITIVE_INFINITY)
  }

  async #tryLastResort(tier: Tier): Promise<Omit<Resolution<T>, 'attempts'> | undefined> {
    const candidate = tier.lastResort?.(this.#peerId)
    if (candidate == null || this.#isTooOld(candidate) || candidate.multiaddrs.every((address) => this.#refuted.has(address.toString()))) {
      return undefined
    }
    const startedAtMs = performance.now()
    const judged = await this.#try({ ...candidate, verified: false }, 0)
    const ms = performance.now() - startedAtMs
    if ('value' in judged) {
      this.#note({ tier: tier.name, outcome: 'hit', ms, detail: candidate.detail })
      return { candidate, value: judged.value }
    }
    this.#note({ tier: tier.name, outcome: 'error', ms, detail: `${candidate.detail}; ${judged.failure}` })
    return undefined
  }

  /** Dials that are kept for the tiers to come: the answers of one must not use up all there are. */
  #reservedAfter(tier: Tier): number {
    return RESERVED_PER_TIER * this.#tiers.slice(this.#tiers.indexOf(tier) + 1).filter((later) => this.#isChosen(later)).length
  }

  /** Takes up to `wanted` dials and leaves at least `kept`; gives how many. */
  #takeDials(wanted: number, kept: number): number {
    const taken = Math.max(0, Math.min(wanted, this.#dialsLeft - kept))
    this.#dialsLeft -= taken
    return taken
  }

  async #try(candidate: Candidate, reserved: number): Promise<{ value: T } | { failure: string }> {
    const untried = farthestFirst(candidate.multiaddrs.filter((address) => !this.#refuted.has(address.toString())))
    const wanted = candidate.seq === 0n ? Math.min(MAX_UNSIGNED, untried.length) : untried.length
    const left = untried.slice(0, this.#takeDials(wanted, reserved))
    if (left.length === 0) {
      return {
        failure:
          untried.length === 0 ? 'the same addresses again' : `${MAX_DIALLED - this.#dialsLeft} addresses failed: no more are dialled`,
      }
    }
    const more = (): boolean => this.#takeDials(1, reserved) === 1
    try {
      return { value: await this.#judge(left, candidate, this.#options.signal, more) }
    } catch (error) {
      this.#options.signal?.throwIfAborted()
      for (const address of left) {
        this.#refuted.add(address.toString())
      }
      this.#lastFailure = error
      if (isRefutation(error) && error.weight > (this.#mostTelling?.weight ?? 0)) {
        this.#mostTelling = error
      }
      this.#isOver ||= candidate.verified && this.#verdict != null
      if (left.length === untried.length && this.#verdict == null) {
        // a note for later resolutions: this one goes on without it
        await this.#memory.refuted(this.#peerId, candidate).catch(() => undefined)
      }
      return { failure: describeError(error) }
    }
  }

  #failure(): ResolveError {
    const peer = this.#peerId.toString()
    const outcomes = this.#attempts.map(
      ({ tier, outcome, detail }) => `${tier}: ${outcome === 'skipped' ? outcome : `${outcome} (${detail})`}`,
    )
    const trace = outcomes.join(', ')
    if (this.#verdict != null) {
      const options = { cause: this.#lastFailure, hint: this.#mostTelling?.hint }
      return new ResolveError(this.#verdict, `${peer} does not let this peer in; ${trace}`, this.#attempts, options)
    }
    if (this.#lastFailure != null) {
      return new ResolveError('UNREACHABLE', `no address of ${peer} can be reached; ${trace}`, this.#attempts, {
        cause: this.#lastFailure,
        hint: this.#mostTelling?.hint ?? 'is the peer running, and reachable from here?',
      })
    }
    if (this.#unknown != null) {
      const { tier, error } = this.#unknown
      return new ResolveError('CHAIN_UNAVAILABLE', `${peer} not found, and the ${tier} could not be asked; ${trace}`, this.#attempts, {
        cause: error,
        hint: error instanceof SubnetError ? error.hint : undefined,
      })
    }
    const refusal = this.#memory.refusal?.()
    if (refusal != null) {
      const message = `no address of ${peer} is known, and nobody could be asked: ${refusal.message}; ${trace}`
      return new ResolveError('NOT_ADMITTED', message, this.#attempts, { hint: refusal.hint })
    }
    return new ResolveError('PEER_NOT_FOUND', `no address of ${peer} is known; ${trace}`, this.#attempts, {
      hint: this.#memory.hint?.() ?? '--bootstrap names a peer that may know it, --chain a chain where it may have published',
    })
  }
}

/** What is noted of a tier that gave no answer which passed. */
function nothingFound(failures: string[], budget: Deadline, miss: string): [Outcome, string] {
  if (failures.length > 0) {
    return ['error', failures.join('; ')]
  }
  return budget.isUp ? ['timeout', `no answer within ${budget.totalMs} ms`] : ['miss', miss]
}

function isRefutation(error: unknown): error is Error & Refutation {
  return error instanceof Error && 'weight' in error && 'hint' in error
}
