import { NoSubnetError } from '../registry.ts'
import { certain } from './certain.ts'
import type { HypertensorChain, Reading } from './hypertensor-chain.ts'
import type { Layout } from './layout.ts'

const FRIENDLY_MAP = 'FriendlyUidSubnetId'
const SUBNETS_MAP = 'SubnetsData'
/** A smaller id is a friendly id, for which the chain has the real one. */
const FIRST_SUBNET_ID = 128_000
/** How long the real id and the existence of the subnet are cached. */
const REMEMBERED_FOR_MS = 60_000

/** Identifies a subnet of a chain, and checks whether it exists. */
export class SubnetIdentity {
  readonly #chain: HypertensorChain
  /** The id on the chain, or the friendly id. */
  readonly given: number
  #real: { id: number; atMs: number } | undefined
  #seenAtMs = Number.NEGATIVE_INFINITY

  /** @param given the id on the chain, or the friendly id */
  constructor(chain: HypertensorChain, given: number) {
    this.#chain = chain
    this.given = given
  }

  forget(): void {
    this.#real = undefined
    this.#seenAtMs = Number.NEGATIVE_INFINITY
  }

  /** The id on the chain. @throws ChainError; NoSubnetError for an unknown friendly id; the signal's reason */
  async id(signal: AbortSignal): Promise<number> {
    if (this.given >= FIRST_SUBNET_ID) {
      return this.given
    }
    if (this.#real != null && isRecent(this.#real.atMs)) {
      return this.#real.id
    }
    const { value: id } = await certain(this.#chain, signal, async () => {
      const { layout, values, block } = await this.#chain.read((made) => [made.needed(FRIENDLY_MAP).key(this.given)], signal)
      const id = this.#chain.inLayout(layout, () => {
        const map = layout.needed(FRIENDLY_MAP)
        const value = values.get(map.key(this.given))
        return value == null ? undefined : map.decode(value)
      })
      if (typeof id !== 'number') {
        throw this.#missing()
      }
      return { value: id, block, layout }
    })
    this.#real = { id, atMs: performance.now() }
    return id
  }

  /** Keys that show whether the subnet exists, to be read together with others. Empty while its existence is cached. @throws Error */
  keys(layout: Layout, id: number): string[] {
    return isRecent(this.#seenAtMs) ? [] : [layout.needed(SUBNETS_MAP).key(id)]
  }

  /** Checks the values of these keys. @throws NoSubnetError */
  check({ layout, values }: Reading, id: number): void {
    const key = this.#chain.inLayout(layout, () => layout.needed(SUBNETS_MAP).key(id))
    const value = values.get(key)
    if (value === null) {
      this.#real = undefined
      throw this.#missing()
    }
    if (value !== undefined) {
      this.#seenAtMs = performance.now()
    }
  }

  /** Reads the block and, unless cached, whether the subnet exists. @throws ChainError, NoSubnetError; the signal's reason */
  async confirm(id: number, signal: AbortSignal): Promise<{ block: number; layout?: Layout }> {
    if (isRecent(this.#seenAtMs)) {
      return { block: await this.#chain.block(signal) }
    }
    const reading = await this.#chain.read((layout) => this.keys(layout, id), signal)
    this.check(reading, id)
    return reading
  }

  /** The friendly id of the subnet; undefined without one. @throws ChainError; the signal's reason */
  async friendlyId(id: number, signal: AbortSignal): Promise<number | undefined> {
    const { layout, values } = await this.#chain.read((made) => [made.needed(SUBNETS_MAP).key(id)], signal)
    return this.#chain.inLayout(layout, () => {
      const map = layout.needed(SUBNETS_MAP)
      const value = values.get(map.key(id))
      const data = value == null ? undefined : (map.decode(value) as { friendly_id?: unknown })
      return typeof data?.friendly_id === 'number' ? data.friendly_id : undefined
    })
  }

  #missing(): NoSubnetError {
    return new NoSubnetError(this.#chain.rpc.endpoint, this.given)
  }
}

function isRecent(atMs: number): boolean {
  return performance.now() - atMs < REMEMBERED_FOR_MS
}
