import type { PeerId } from '@libp2p/interface'
import { Queue } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { farthestFirst } from '../primitives/address.ts'
import { Deadline } from '../primitives/deadline.ts'
import { describeError, SubnetError, UsageError } from '../primitives/errors.ts'
import { type Attempt, type Outcome, ResolveError } from './errors.ts'
import type { Candidate, Tier } from './tier.ts'

/**
 * Tries the addresses of an answer. An error refutes them, and the resolution continues. Each address is one dial; `more` takes one dial
 * for every further IP address that an address leads to, and returns false if none is left.
 */
export type Judge<T> = (multiaddrs: Multiaddr[], candidate: Candidate, signal: AbortSignal | undefined, more: () => boolean) => Promise<T>

/** Optional fields of a judge's error. A resolution shows the hint with the greatest weight. */
export interface Refutation {
  hint: string | undefined
  weight: number
  /** The peer's own refusal. At an address that the peer did not sign, another node on the path may have sent it instead. */
  verdict: 'NOT_ADMITTED' | undefined
}

/** Options that narrow a resolution. */
export interface ResolveOptions {
  signal?: AbortSignal | undefined
  /** Ask only the tiers with these names. @default all, in order */
  tiers?: readonly string[] | undefined
  /** Ignore answers older than this, in milliseconds. */
  maxAgeMs?: number | undefined
}

/** The accepted answer, the result of its judge, and every step. */
export interface Resolution<T> {
  candidate: Candidate
  value: T
  attempts: Attempt[]
}

/** Receives results of the resolver, and answers its questions when no tier is left. */
export interface ResolverMemory {
  /** Every address of this answer failed. */
  refuted(peerId: PeerId, candidate: Candidate): Promise<void>
  /** Called for each step of a resolution. */
  tried?(peerId: PeerId, attempt: Attempt): void
  /** Called at the end of a resolution. */
  ended?(peerId: PeerId, end: { found: boolean; ms: number; attempts: readonly Attempt[] }): void
  /** A hint for a peer that no tier knows, if this node knows a specific one. */
  hint?(): string | undefined
  /** Why this node had no peer to ask: all peers that it knows refuse it. */
  refusal?(): { message: string; hint: string | undefined } | undefined
}

/** A peer can sign addresses of other machines, so one resolution never dials more than this many. */
const MAX_DIALLED = 16
/** The share of each tier that is still to be asked. */
const RESERVED_PER_TIER = 4
/** Dials that a tier's search leaves for its own answers. */
const KEPT_FOR_ANSWERS = 4
/** Dials per unsigned answer. */
const MAX_UNSIGNED = 4

/** Sources of addresses besides tiers. */
const NO_TIERS = ['given', 'connected', 'dialled']

/** Asks one tier after the other. The first answer that its judge accepts wins, and the remaining tiers are skipped. */
export class Resolver {
  readonly #tiers: readonly Tier[]
  readonly #memory: ResolverMemory
  readonly #running = new Queue<Resolution<unknown>, { key: string; signal?: AbortSignal }>()

  /** @throws UsageError if two tiers have the same name */
  constructor(tiers: readonly Tier[], memory: ResolverMemory) {
    this.#tiers = tiers.toSorted((a, b) => a.order - b.order)
    this.#memory = memory
    const names = [...NO_TIERS, ...this.tierNames]
    const taken = names.find((name, index) => names.indexOf(name) !== index)
    if (taken != null) {
      throw new UsageError(`a tier cannot be called ${JSON.stringify(taken)}: another tier or source of addresses has this name`)
    }
  }

  /** Names of all tiers, in the order of resolution. */
  get tierNames(): string[] {
    return this.#tiers.map(({ name }) => name)
  }

  /**
   * Finds an answer that `judge` accepts. Concurrent resolutions of one peer with the same `purpose` and options are shared: the judge of
   * the first one decides for all.
   * @throws ResolveError, UsageError for an unknown tier; the reason of `options.signal`
   */
  async resolve<T>(peerId: PeerId, purpose: string, judge: Judge<T>, options: ResolveOptions = {}): Promise<Resolution<T>> {
    options.signal?.throwIfAborted()
    this.#checkNames(options.tiers)
    const key = [purpose, peerId.toString(), options.tiers?.join(), options.maxAgeMs].join(' ')
    const shared = options.signal == null ? { key } : { key, signal: options.signal }
    // a job without recipients has ended, or all its callers gave up
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
      throw new UsageError(`unknown tier ${JSON.stringify(none)}; expected ${this.tierNames.join(', ')}`)
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
  /** The peer refused this node at an address that it signed: no other tier is asked. */
  #isOver = false
  /** A failed tier that may have the peer, and its error. */
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

  /** Why the resolution ends here; undefined while something can still be found. */
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

  /** Dials reserved for the tiers to come, so that the answers of one tier cannot use up all dials. */
  #reservedAfter(tier: Tier): number {
    return RESERVED_PER_TIER * this.#tiers.slice(this.#tiers.indexOf(tier) + 1).filter((later) => this.#isChosen(later)).length
  }

  /** Takes up to `wanted` dials, leaves at least `kept`, and returns the number taken. */
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
        // a note for later resolutions; this one goes on without it
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
      return new ResolveError(this.#verdict, `${peer} does not let this node in; ${trace}`, this.#attempts, options)
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
      hint:
        this.#memory.hint?.() ?? 'use --bootstrap to name a peer that may know it, or --chain to name a chain where it may have published',
    })
  }
}

/** The trace of a tier without an accepted answer. */
function nothingFound(failures: string[], budget: Deadline, miss: string): [Outcome, string] {
  if (failures.length > 0) {
    return ['error', failures.join('; ')]
  }
  return budget.isUp ? ['timeout', `no answer within ${budget.totalMs} ms`] : ['miss', miss]
}

function isRefutation(error: unknown): error is Error & Refutation {
  return error instanceof Error && 'weight' in error && 'hint' in error
}
