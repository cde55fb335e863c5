import type { PeerId } from '@libp2p/interface'
import { ChainError, NoSubnetError } from '../registry.ts'
import type { HypertensorChain } from './hypertensor-chain.ts'
import type { Layout } from './layout.ts'
import { StorageFeed } from './storage-feed.ts'
import type { StorageValue } from './storage-reader.ts'
import type { Row } from './subnet-rows.ts'
import type { SubnetStorage } from './subnet-storage.ts'
import { allKeys, fixedKeys, type WatchedKeys } from './watched-keys.ts'

export interface WatchedRowsInit {
  chain: HypertensorChain
  storage: SubnetStorage
  /** Called after a change, and when change notifications have ended. */
  onNews(): void
}

/** Size limit of all values together, as hex: many times the size of 10,000 nodes. */
const MAX_CHARACTERS = 128 * 1_024 * 1_024
const MAX_ATTEMPTS = 3
/** A node allows at most 1,024 per connection. Above this number all subscriptions are recreated. */
const MAX_SUBSCRIPTIONS = 512

/** Keeps the stored rows of a subnet's peers current, by notifications of the endpoint if it offers them, else by reading. */
export class WatchedRows {
  readonly #init: WatchedRowsInit
  readonly #feed: StorageFeed
  readonly #rows = new Map<string, Row>()
  #characters = 0
  #layout: Layout | undefined
  #subnet = 0
  #keys: WatchedKeys = { rows: new Map(), signs: new Set(), subnet: undefined }
  #signs = new Map<string, StorageValue>()
  /** Values from notifications or reads that are not processed yet. */
  readonly #inbox = new Map<string, StorageValue>()
  /** Counts the times at which all rows became doubtful; `#read` is the count at the last full read. */
  #doubts = 1
  #read = 0
  #hasOtherKeys = false
  #changed: Map<string, PeerId> | undefined = new Map()

  constructor(init: WatchedRowsInit) {
    this.#init = init
    this.#feed = new StorageFeed({
      rpc: init.chain.rpc,
      onValues: (values) => {
        for (const [key, value] of values) {
          this.#inbox.set(key, value)
        }
        init.onNews()
      },
      onBroken: () => {
        this.doubt()
        init.onNews()
      },
    })
  }

  /** False until all rows have been read again. */
  get isWhole(): boolean {
    return this.#read === this.#doubts
  }

  /** Whether the endpoint notifies every change, so that no reads are needed. */
  get isTold(): boolean {
    return this.isWhole && this.#feed.size > 0 && this.#keys.signs.size > 0
  }

  /** Marks all rows as doubtful, because a change may have been missed. The next update reads all. */
  doubt(): void {
    this.#doubts++
  }

  /** Peers that were added, removed or changed since the last call; undefined if not known. */
  takeChanged(): PeerId[] | undefined {
    const changed = this.#changed
    this.#changed = new Map()
    return changed == null ? undefined : [...changed.values()]
  }

  /** Discards all rows. */
  clear(): void {
    this.#feed.stop()
    this.#rows.clear()
    this.#characters = 0
    this.#layout = undefined
    this.doubt()
  }

  /** Processes the changes. @throws ChainError, NoSubnetError; the signal's reason */
  async update(signal: AbortSignal): Promise<void> {
    if (!this.isWhole || (this.#feed.size === 0 && this.#feed.isOffered) || this.#feed.size > MAX_SUBSCRIPTIONS) {
      await this.#readAll(signal)
    } else if (this.#feed.size === 0) {
      const { rows } = fixedKeys(this.#layout as Layout, this.#subnet)
      await this.#fetch([...this.#watched({ ...this.#keys, rows })], signal)
    }
    await this.#takeIn(signal)
    while (this.isWhole && this.#hasOtherKeys) {
      await this.#listAgain(signal)
    }
  }

  /** Reads all rows and compares them with the previous ones. @throws ChainError, NoSubnetError; the signal's reason */
  async #readAll(signal: AbortSignal): Promise<void> {
    const { chain, storage } = this.#init
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const doubts = this.#doubts
      this.#feed.stop()
      this.#inbox.clear()
      const [layout, subnet] = await Promise.all([chain.layout(signal), storage.id(signal)])
      const fixed = fixedKeys(layout, subnet)
      await this.#fetch([...this.#watched(fixed)], signal)
      this.#checkSubnet(fixed)
      const keys = await allKeys(layout, subnet, chain, signal)
      const known = this.#watched(fixed)
      await this.#fetch(
        [...this.#watched(keys)].filter((key) => !known.has(key)),
        signal,
      )
      if (await chain.isCurrent(layout, signal)) {
        this.#begin(layout, subnet, keys)
        this.#read = doubts
        return
      }
    }
    throw new ChainError(`chain ${chain.rpc.endpoint}: its runtime keeps changing`)
  }

  /** Sets the state with which later values are compared. */
  #begin(layout: Layout, subnet: number, keys: WatchedKeys): void {
    const isOther = this.#layout !== layout
    if (isOther) {
      this.#changed = this.#layout == null ? this.#changed : undefined
      this.#rows.clear()
      this.#characters = 0
    }
    this.#layout = layout
    this.#subnet = subnet
    this.#signs.clear()
    this.#hasOtherKeys = false
    this.#useKeys(keys, !isOther)
    this.#settle(!isOther)
  }

  /** @throws ChainError; the signal's reason */
  async #listAgain(signal: AbortSignal): Promise<void> {
    this.#hasOtherKeys = false
    const known = this.#watched(this.#keys)
    const layout = this.#layout as Layout
    try {
      const keys = await allKeys(layout, this.#subnet, this.#init.chain, signal)
      await this.#fetch(
        [...this.#watched(keys)].filter((key) => !known.has(key)),
        signal,
      )
      this.#useKeys(keys, true)
      await this.#takeIn(signal)
    } catch (error) {
      this.doubt()
      throw error
    }
  }

  /** @throws ChainError, NoSubnetError; the signal's reason */
  async #takeIn(signal: AbortSignal): Promise<void> {
    const layout = this.#layout as Layout
    if (this.#inbox.size === 0 || !this.isWhole) {
      return
    }
    const hasRows = [...this.#inbox].some(([key, value]) => this.#keys.rows.has(key) && this.#isOther(key, value))
    // rows of another runtime must not be decoded with this layout
    if (hasRows && !(await this.#init.chain.isCurrent(layout, signal))) {
      this.doubt()
      this.#init.onNews()
      return
    }
    this.#checkSubnet(this.#keys)
    this.#settle(true)
  }

  /** @throws ChainError; the signal's reason */
  async #fetch(keys: string[], signal: AbortSignal): Promise<void> {
    if (this.#feed.isOffered && (await this.#feed.follow(keys, signal))) {
      return
    }
    const { values } = await this.#init.chain.read(() => keys, signal)
    for (const [key, value] of values) {
      this.#inbox.set(key, value)
    }
  }

  #watched({ rows, signs, subnet }: WatchedKeys): Set<string> {
    return new Set([...rows.keys(), ...signs, ...(subnet == null ? [] : [subnet])])
  }

  /** @throws NoSubnetError */
  #checkSubnet({ subnet }: WatchedKeys): void {
    if (subnet != null && this.#inbox.get(subnet) === null) {
      throw new NoSubnetError(this.#init.chain.rpc.endpoint, this.#init.storage.subnetId)
    }
  }

  /** Removes rows whose keys no longer exist. @throws ChainError */
  #useKeys(keys: WatchedKeys, isNamed: boolean): void {
    this.#keys = keys
    for (const [key, { map }] of this.#rows) {
      if (!keys.rows.has(key)) {
        this.#set(key, map, null, isNamed)
      }
    }
  }

  /** @throws ChainError */
  #settle(isNamed: boolean): void {
    for (const [key, value] of this.#inbox) {
      const map = this.#keys.rows.get(key)
      if (map != null) {
        this.#set(key, map, value, isNamed)
      } else if (this.#keys.signs.has(key)) {
        this.#hasOtherKeys ||= this.#signs.has(key) && this.#signs.get(key) !== value
        this.#signs.set(key, value)
      }
    }
    this.#inbox.clear()
  }

  #isOther(key: string, value: StorageValue): boolean {
    return (this.#rows.get(key)?.value ?? null) !== value
  }

  /** @throws ChainError */
  #set(key: string, map: string, value: StorageValue, isNamed: boolean): void {
    if (!this.#isOther(key, value)) {
      return
    }
    const was = this.#rows.get(key)?.value
    this.#characters += (value?.length ?? 0) - (was?.length ?? 0)
    if (this.#characters > MAX_CHARACTERS) {
      throw new ChainError(`chain ${this.#init.chain.rpc.endpoint}: the nodes of the subnet take more than ${MAX_CHARACTERS / 2} bytes`)
    }
    if (value == null) {
      this.#rows.delete(key)
    } else {
      this.#rows.set(key, { key, map, value })
    }
    for (const each of isNamed ? [was, value] : []) {
      if (each != null) {
        this.#name({ key, map, value: each })
      }
    }
  }

  #name(row: Row): void {
    const peers = this.#changed == null ? undefined : this.#init.storage.peersOfRow({ layout: this.#layout as Layout }, row)
    if (peers == null) {
      this.#changed = undefined
    }
    for (const { peerId } of peers ?? []) {
      this.#changed?.set(peerId.toString(), peerId)
    }
  }
}
