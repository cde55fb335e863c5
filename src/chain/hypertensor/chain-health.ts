import type { Logger } from '../../observe/logger.ts'
import { humanMs } from '../../primitives/human-ms.ts'
import { BlockClock } from './block-clock.ts'

/** After so many blocks' time without a new head the chain stands still. */
const STANDS_AFTER_BLOCKS = 10
/** A head that is lower by more is of no reorganisation. */
const MAX_REORGANISATION = 10

export interface ChainHealthInit {
  /** The endpoint in use, as it may be shown. */
  endpoint(): string
  log: Logger
  /** Milliseconds of a clock that is never set. */
  now?: (() => number) | undefined
}

/**
 * What is wrong with a chain that answers: it stands still, was set back, is another one. Each is told of once when it begins and once when
 * it is over, at level `warn`. Whether it stands still is judged only while somebody follows its heads.
 */
export class ChainHealth {
  readonly #init: ChainHealthInit
  readonly #now: () => number
  readonly #problems = new Map<string, () => string>()
  #intervalMs: number | undefined
  #newest: { block: number; atMs: number } | undefined
  #highest = 0
  /** A block came after the first that was seen. */
  #isMoving = false
  /** How old the newest block was by its own time, and when that was read. */
  #ownAge: { ageMs: number; atMs: number } | undefined
  readonly #clock = new BlockClock()
  #followed = false
  /** Since when no heads come because the chain is away. */
  #lostAtMs: number | undefined

  constructor(init: ChainHealthInit) {
    this.#init = init
    this.#now = init.now ?? (() => performance.now())
  }

  /** The newest block that was seen. */
  get block(): number | undefined {
    return this.#newest?.block
  }

  /** True when a new head was seen: until then only the time in the newest block tells how old it is. */
  get isMoving(): boolean {
    return this.#isMoving
  }

  /** True where the newest block is a new head whose time is worth reading, to compare it with the clock of this machine. */
  get wantsTime(): boolean {
    return this.#isMoving && this.block != null && this.#clock.wants(this.block)
  }

  /** How far the clock of this machine is ahead of new blocks, in milliseconds; negative where it is behind. Undefined where that is not known. */
  get clockOffsetMs(): number | undefined {
    return this.#clock.offsetMs(this.#now())
  }

  /** Each in one line. */
  get problems(): string[] {
    this.judge()
    return [...this.#problems.values()].map((text) => text())
  }

  /** The time of a block in milliseconds; a chain without one is never found to stand still. */
  blocksTake(intervalMs: number | undefined): void {
    this.#intervalMs = intervalMs
    this.judge()
  }

  /** A block that the chain is at, wherever that was read. */
  saw(block: number): void {
    const wasLost = this.#lostAtMs != null
    this.#lostAtMs = undefined
    const newest = this.#newest
    const isLower = newest != null && block < newest.block - MAX_REORGANISATION
    if (newest == null || isLower || block > newest.block) {
      this.#newest = { block, atMs: this.#now() }
      this.#isMoving ||= newest != null
      if (isLower) {
        this.#clock.forget()
      }
    } else if (wasLost) {
      // the time without a connection is no age of the head
      this.#newest = { block: newest.block, atMs: this.#now() }
    }
    this.#highest = Math.max(this.#highest, block)
    const highest = this.#highest
    if (this.#newest != null && this.#newest.block < highest - MAX_REORGANISATION) {
      this.begin('lower', () => `it was at block ${highest}, and is at block ${this.block}: it was set back, or this endpoint is behind`)
    } else {
      this.end('lower', `it is at block ${this.block} again`)
    }
    this.judge()
  }

  /**
   * The chain's own time of the newest block, a Unix time in milliseconds; undefined where it has none. Until a new head is seen it is the age of the
   * chain, and no longer: a clock may be wrong.
   */
  sawTime(unixMs: number | undefined): void {
    const nowMs = this.#now()
    if (unixMs == null) {
      this.#clock.sawNone(this.block ?? 0)
      return
    }
    this.#ownAge = { ageMs: Date.now() - unixMs, atMs: nowMs }
    if (this.#isMoving && this.#newest != null) {
      const { block, atMs } = this.#newest
      this.#clock.saw({ block, timeMs: unixMs, heardAtMs: atMs, heardAtUnixMs: Date.now() - (nowMs - atMs) })
    }
    this.judge()
  }

  /** From now on heads are followed, or no longer. */
  follow(followed: boolean): void {
    if (followed && !this.#followed && this.#newest != null) {
      // what came while nobody followed is not known
      this.#newest.atMs = this.#now()
      this.#isMoving = false
    }
    this.#followed = followed
    this.judge()
  }

  /** The chain is away: no heads come. */
  lost(): void {
    this.#lostAtMs ??= this.#now()
  }

  /** This endpoint is of another chain than was read before, by their genesis hashes: what was known of its blocks is void. */
  becameOther(hash: string, before: string, endpoint: string): void {
    this.#newest = undefined
    this.#highest = 0
    this.#isMoving = false
    this.#ownAge = undefined
    this.#clock.forget()
    for (const kind of ['lower', 'still', 'genesis']) {
      this.end(kind)
    }
    const [now, then] = [hash, before].map((each) => `${each.slice(0, 18)}…`)
    const text = `it is another chain than before: its genesis hash is ${now}, and was ${then}; what the other said is not used`
    this.begin('genesis', () => text, endpoint)
  }

  /** False where the chain said that it does not have the subnet. */
  get hasSubnet(): boolean {
    return !this.#problems.has('subnet')
  }

  /** The chain does not have the subnet with this id, which may appear: so it is wrong only for those who follow. */
  missedSubnet(subnetId: number): void {
    if (!this.#followed) {
      return
    }
    this.begin('subnet', () => `subnet ${subnetId} does not exist on this chain (yet)`)
  }

  foundSubnet(subnetId: number): void {
    this.end('subnet', `subnet ${subnetId} is there now`)
  }

  /** Something is wrong from now on, with the endpoint in use or the one that is named; it is told of where that is not known. */
  begin(kind: string, text: () => string, endpoint?: string): void {
    const line = (): string => `chain ${endpoint ?? this.#init.endpoint()}: ${text()}`
    if (!this.#problems.has(kind)) {
      this.#init.log.warn(line())
    }
    this.#problems.set(kind, line)
  }

  /** It is over; without a text nothing is told. */
  end(kind: string, text?: string): void {
    if (this.#problems.delete(kind) && text != null) {
      this.#init.log.warn(`chain ${this.#init.endpoint()}: ${text}`)
    }
  }

  /** Whether the chain stands still by now. */
  judge(): void {
    const intervalMs = this.#intervalMs
    if (!this.#followed || intervalMs == null || this.#newest == null) {
      this.end('still')
    } else if (this.#ageMs(this.#newest.atMs) > STANDS_AFTER_BLOCKS * intervalMs) {
      this.begin(
        'still',
        () => `it stands still at block ${this.block}: no new one for ${this.#age()}, and one takes ${humanMs(intervalMs)}`,
      )
    } else {
      this.end('still', `new blocks come again, the newest is ${this.block}`)
    }
  }

  /** How long there was no new head, as far as the chain was heard. */
  #ageMs(seenAtMs: number): number {
    const nowMs = this.#lostAtMs ?? this.#now()
    const own = this.#isMoving || this.#ownAge == null ? 0 : this.#ownAge.ageMs + (nowMs - this.#ownAge.atMs)
    return Math.max(nowMs - seenAtMs, own)
  }

  #age(): string {
    return humanMs(this.#ageMs(this.#newest?.atMs ?? this.#now()))
  }
}
