import type { Logger } from '../../observe/logger.ts'
import { humanMs } from '../../primitives/human-ms.ts'
import { BlockClock } from './block-clock.ts'

/** Block intervals without a new head after which the chain stands still. */
const STANDS_AFTER_BLOCKS = 10
/** A head that is lower by more blocks does not result from a reorganisation. */
const MAX_REORGANISATION = 10

export interface ChainHealthInit {
  /** The endpoint in use, in the form for messages. */
  endpoint(): string
  log: Logger
  /** Milliseconds of a monotonic clock. */
  now?: (() => number) | undefined
}

/**
 * Faults of a chain that answers: it stands still, was set back, or is another chain. Each fault is logged once when it begins and once
 * when it ends, at level `warn`. A standstill is detected only while heads are followed.
 */
export class ChainHealth {
  readonly #init: ChainHealthInit
  readonly #now: () => number
  readonly #problems = new Map<string, () => string>()
  #intervalMs: number | undefined
  #newest: { block: number; atMs: number } | undefined
  #highest = 0
  /** True after a block that followed the first one seen. */
  #isMoving = false
  /** The age of the newest block by its own time, and the time of that reading. */
  #ownAge: { ageMs: number; atMs: number } | undefined
  readonly #clock = new BlockClock()
  #followed = false
  /** The start of an outage, during which no heads arrive. */
  #lostAtMs: number | undefined

  constructor(init: ChainHealthInit) {
    this.#init = init
    this.#now = init.now ?? (() => performance.now())
  }

  /** The newest block seen. */
  get block(): number | undefined {
    return this.#newest?.block
  }

  /** True after a new head. Until then only the time in the newest block shows its age. */
  get isMoving(): boolean {
    return this.#isMoving
  }

  /** True if the newest block is a new head, and its time is needed for a comparison with this machine's clock. */
  get wantsTime(): boolean {
    return this.#isMoving && this.block != null && this.#clock.wants(this.block)
  }

  /** The offset of this machine's clock to new blocks, in milliseconds; negative if the clock is behind. Undefined if not known. */
  get clockOffsetMs(): number | undefined {
    return this.#clock.offsetMs(this.#now())
  }

  /** One line per problem. */
  get problems(): string[] {
    this.judge()
    return [...this.#problems.values()].map((text) => text())
  }

  /** Sets the block time in milliseconds. A chain without a block time never counts as standing still. */
  blocksTake(intervalMs: number | undefined): void {
    this.#intervalMs = intervalMs
    this.judge()
  }

  /** Records a block of the chain, from any source. */
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
      // the time without a connection does not count as age of the head
      this.#newest = { block: newest.block, atMs: this.#now() }
    }
    this.#highest = Math.max(this.#highest, block)
    const highest = this.#highest
    if (this.#newest != null && this.#newest.block < highest - MAX_REORGANISATION) {
      this.begin(
        'lower',
        () => `its newest block was ${highest}, and is now ${this.block}: the chain was rolled back, or this endpoint is behind`,
      )
    } else {
      this.end('lower', `its newest block is ${this.block} again`)
    }
    this.judge()
  }

  /**
   * Records the chain's own time of the newest block, in Unix milliseconds; undefined without such a time. It defines the age of the chain
   * only until a new head arrives, because a clock may be wrong.
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

  /** Records whether heads are followed. */
  follow(followed: boolean): void {
    if (followed && !this.#followed && this.#newest != null) {
      // blocks from the time without followers are unknown
      this.#newest.atMs = this.#now()
      this.#isMoving = false
    }
    this.#followed = followed
    this.judge()
  }

  /** Records an outage of the chain: no heads arrive. */
  lost(): void {
    this.#lostAtMs ??= this.#now()
  }

  /** The genesis hash shows that this endpoint serves another chain than before: knowledge of earlier blocks is discarded. */
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
    const text = `this is another chain than before: its genesis hash is ${now}, and was ${then}; answers of the other chain are not used`
    this.begin('genesis', () => text, endpoint)
  }

  /** False if the chain reported that the subnet does not exist. */
  get hasSubnet(): boolean {
    return !this.#problems.has('subnet')
  }

  /** Records that the chain has no subnet with this id. The subnet may appear later, so this is a problem only for followers. */
  missedSubnet(subnetId: number): void {
    if (!this.#followed) {
      return
    }
    this.begin('subnet', () => `subnet ${subnetId} does not exist on this chain (yet)`)
  }

  foundSubnet(subnetId: number): void {
    this.end('subnet', `subnet ${subnetId} exists now`)
  }

  /** Begins a problem of the given endpoint, or of the one in use, and logs it if it is new. */
  begin(kind: string, text: () => string, endpoint?: string): void {
    const line = (): string => `chain ${endpoint ?? this.#init.endpoint()}: ${text()}`
    if (!this.#problems.has(kind)) {
      this.#init.log.warn(line())
    }
    this.#problems.set(kind, line)
  }

  /** Ends a problem. Without a text nothing is logged. */
  end(kind: string, text?: string): void {
    if (this.#problems.delete(kind) && text != null) {
      this.#init.log.warn(`chain ${this.#init.endpoint()}: ${text}`)
    }
  }

  /** Checks whether the chain stands still. */
  judge(): void {
    const intervalMs = this.#intervalMs
    if (!this.#followed || intervalMs == null || this.#newest == null) {
      this.end('still')
    } else if (this.#ageMs(this.#newest.atMs) > STANDS_AFTER_BLOCKS * intervalMs) {
      this.begin('still', () => `no new block after ${this.block} for ${this.#age()}; a block usually takes ${humanMs(intervalMs)}`)
    } else {
      this.end('still', `new blocks arrive again; the newest is ${this.block}`)
    }
  }

  /** Time without a new head until now, or until the outage began. */
  #ageMs(seenAtMs: number): number {
    const nowMs = this.#lostAtMs ?? this.#now()
    const own = this.#isMoving || this.#ownAge == null ? 0 : this.#ownAge.ageMs + (nowMs - this.#ownAge.atMs)
    return Math.max(nowMs - seenAtMs, own)
  }

  #age(): string {
    return humanMs(this.#ageMs(this.#newest?.atMs ?? this.#now()))
  }
}
