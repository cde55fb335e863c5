import { raceSignal } from 'race-signal'
import { describeError } from '../../primitives/errors.ts'
import type { Logger } from '../../primitives/log.ts'
import { ChainError } from '../registry.ts'
import { nameOf } from './endpoints.ts'
import type { Layout } from './layout.ts'
import { MetadataCache } from './metadata-cache.ts'
import { RpcClient, type RpcOptions } from './rpc-client.ts'
import { RpcError } from './rpc-error.ts'
import type { RpcSocket } from './rpc-socket.ts'
import { BLOCK_KEY, readBlockHash, readBlockValue, readHeader, readRuntimeVersion } from './runtime.ts'
import { readHex, readStorageValue, StorageReader, type StorageValue } from './storage-reader.ts'

export interface ChainOptions extends RpcOptions {
  maxMetadataBytes: number
  /** A block, in milliseconds: so long the runtime's version is taken for what it was. */
  blockMs: number
}

export interface ChainInit {
  endpoints: readonly string[]
  options: ChainOptions
  /** Where metadata are kept; without one they are fetched each time. */
  cacheFolder: string | undefined
  log: Logger
}

/** What was read of the storage at once. */
export interface Reading {
  layout: Layout
  values: Map<string, StorageValue>
  /** 0 where the endpoint does not tell. */
  block: number
}

const MAX_LAYOUT_CHANGES = 3

/** The codecs take longer to load than most commands do. */
async function loadLayoutClass(): Promise<typeof Layout> {
  return (await import('./layout.ts')).Layout
}

interface LoadedLayout {
  version: string
  loading: Promise<Layout>
  /** Where the metadata are from: the endpoint, or the cache. */
  source: { isEndpoint: boolean }
}

/** A Hypertensor chain: the connection, and how its storage is laid out. What is read and what is written goes through one of these. */
export class HypertensorChain {
  readonly rpc: RpcClient
  readonly #init: ChainInit
  readonly #cache: MetadataCache
  readonly #reader: StorageReader
  #genesis: { hash: string; endpoint: string } | undefined
  #version: string | undefined
  #versionAtMs = 0
  #checking: Promise<void> | undefined
  #layout: LoadedLayout | undefined
  #block: number | undefined
  #blockAtMs = 0
  #tellsBlock: 'storage' | 'header' | 'no' = 'storage'

  constructor(init: ChainInit) {
    const { endpoints, options, log } = init
    this.#init = init
    this.#cache = new MetadataCache(init.cacheFolder)
    this.rpc = new RpcClient({ endpoints, options, log, greet: async (socket, signal) => this.#greet(socket, signal) })
    this.#reader = new StorageReader(this.rpc)
  }

  /** The newest block that was seen. */
  get newestBlock(): number | undefined {
    return this.#block
  }

  /**
   * Reads the keys that `keysOf` makes with the layout of the chain; when the runtime changed meanwhile, with the new one.
   * @throws ChainError; the signal's reason
   */
  async read(keysOf: (layout: Layout) => string[], signal: AbortSignal): Promise<Reading> {
    for (let attempt = 0; attempt < MAX_LAYOUT_CHANGES; attempt++) {
      const layout = await this.layout(signal)
      const keys = this.inLayout(layout, () => keysOf(layout))
      const [values] = await raceSignal(
        Promise.all([
          this.#reader.read(this.#tellsBlock === 'storage' ? [...keys, BLOCK_KEY] : keys),
          this.#tellsBlock === 'header' && this.#isOld(this.#blockAtMs) ? this.#readHeader(signal) : undefined,
          this.#isOld(this.#versionAtMs) ? this.#checkVersion() : undefined,
        ]),
        signal,
      )
      if (layout.version === this.#version) {
        return { layout, values, block: this.#blockOf(values) }
      }
    }
    throw new ChainError(`chain ${this.rpc.endpoint}: its runtime changes all the time`)
  }

  /** The layout of the chain as it is now. @throws ChainError; the signal's reason */
  async layout(signal: AbortSignal): Promise<Layout> {
    // while the connection is made
    void loadLayoutClass()
    await this.rpc.ready(signal)
    const version = this.#version as string
    if (this.#layout?.version !== version) {
      this.#load(version, false)
    }
    return raceSignal((this.#layout as LoadedLayout).loading, signal)
  }

  /**
   * Whether this still is the layout, asked anew: for an answer that is none, or that looks wrong. With `mistrust` metadata from the
   * cache are fetched again, and are then another layout.
   * @throws ChainError; the signal's reason
   */
  async isCurrent(layout: Layout, signal: AbortSignal, mistrust = false): Promise<boolean> {
    await raceSignal(this.#checkVersion(), signal)
    const loaded = this.#layout
    if (mistrust && loaded?.version === layout.version && !loaded.source.isEndpoint && layout.version === this.#version) {
      this.#load(layout.version, true)
    }
    return layout.version === this.#version && (await this.layout(signal)) === layout
  }

  /** The block that the chain is at; what was seen last where the endpoint does not tell, or fails to. */
  async block(signal: AbortSignal): Promise<number> {
    try {
      if (this.#tellsBlock === 'storage') {
        const values = await raceSignal(this.#reader.read([BLOCK_KEY]), signal)
        return this.#blockOf(values)
      }
      if (this.#tellsBlock === 'header' && this.#isOld(this.#blockAtMs)) {
        await this.#readHeader(signal)
      }
    } catch {
      signal.throwIfAborted()
    }
    return this.#block ?? 0
  }

  /** A header that a subscription gave. */
  sawHeader(header: unknown): number | undefined {
    try {
      return this.#sawBlock(readHeader(header))
    } catch {
      return undefined
    }
  }

  /** @throws LayoutError for what fails because the chain is laid out otherwise */
  inLayout<T>(layout: Layout, work: () => T): T {
    try {
      return work()
    } catch (cause) {
      throw new LayoutError(`chain ${this.rpc.endpoint}: ${describeError(cause)}`, layout, cause)
    }
  }

  /** May be called twice. */
  close(): void {
    this.rpc.close()
  }

  /** @throws RpcError, Error for an endpoint of another chain than the one before */
  async #greet(socket: RpcSocket, signal: AbortSignal): Promise<void> {
    const ask = async <T>(method: string, params: unknown[], read: (answer: unknown) => T): Promise<T> => {
      const answer = await socket.call(method, params, signal)
      try {
        return read(answer)
      } catch (cause) {
        throw new RpcError('unreadable', `chain ${nameOf(socket.endpoint)}: ${method}: ${socket.shown(describeError(cause))}`, { cause })
      }
    }
    const [hash, version, stored, header] = await Promise.all([
      ask('chain_getBlockHash', [0], readBlockHash),
      ask('state_getRuntimeVersion', [], readRuntimeVersion),
      ask('state_getStorage', [BLOCK_KEY], (answer) => readBlockValue(readStorageValue(answer) ?? '')).catch(() => undefined),
      ask('chain_getHeader', [], readHeader).catch(() => undefined),
    ])
    const { endpoint } = socket
    if (this.#genesis != null && this.#genesis.hash !== hash && this.#genesis.endpoint !== endpoint) {
      throw new Error(`it is of another chain than ${nameOf(this.#genesis.endpoint)}`)
    }
    this.#genesis ??= { hash, endpoint }
    this.#genesis.hash = hash
    this.#sawVersion(version)
    this.#tellsBlock = stored != null ? 'storage' : header != null ? 'header' : 'no'
    const block = stored ?? header
    if (block != null) {
      this.#sawBlock(block)
    }
  }

  #sawVersion(version: string): void {
    // so that the same runtime of two chains is two
    this.#version = `${this.#genesis?.hash.slice(2, 34)}-${version}`
    this.#versionAtMs = performance.now()
  }

  #sawBlock(block: number): number {
    this.#block = Math.max(block, this.#block ?? 0)
    this.#blockAtMs = performance.now()
    return block
  }

  #isOld(atMs: number): boolean {
    return performance.now() - atMs > this.#init.options.blockMs
  }

  #blockOf(values: Map<string, StorageValue>): number {
    const value = values.get(BLOCK_KEY)
    if (value == null) {
      return this.#block ?? 0
    }
    try {
      return this.#sawBlock(readBlockValue(value))
    } catch (cause) {
      throw new ChainError(`chain ${this.rpc.endpoint}: System.Number: ${describeError(cause)}`, { cause })
    }
  }

  async #readHeader(signal: AbortSignal): Promise<void> {
    this.#sawBlock(await this.rpc.call('chain_getHeader', [], { signal, read: readHeader }))
  }

  /** Whoever asks meanwhile gets the same answer: but only one that was asked for after he did. */
  async #checkVersion(): Promise<void> {
    const checking = this.#checking ?? this.#askVersion()
    this.#checking = checking
    await checking
  }

  async #askVersion(): Promise<void> {
    await new Promise(setImmediate)
    this.#checking = undefined
    this.#sawVersion(await this.rpc.call('state_getRuntimeVersion', [], { read: readRuntimeVersion }))
  }

  #load(version: string, anew: boolean): void {
    const source = { isEndpoint: anew }
    const entry: LoadedLayout = { version, source, loading: this.#loadLayout(version, source) }
    this.#layout = entry
    entry.loading.catch(() => {
      // the next who asks tries again
      if (this.#layout === entry) {
        this.#layout = undefined
      }
    })
  }

  async #loadLayout(version: string, source: LoadedLayout['source']): Promise<Layout> {
    const { log, options } = this.#init
    try {
      const kept = source.isEndpoint ? undefined : await this.#cache.get(version)
      if (kept != null) {
        const LayoutOf = await loadLayoutClass()
        return new LayoutOf(kept, version)
      }
    } catch (error) {
      log.debug('the metadata of the chain that were kept are not used', error)
    }
    source.isEndpoint = true
    const read = (answer: unknown): Uint8Array => Buffer.from(readHex(answer, options.maxMetadataBytes).slice(2), 'hex')
    const [metadata] = await Promise.all([this.rpc.call('state_getMetadata', [], { read }), this.#checkVersion()])
    const layout = await this.#readMetadata(metadata, version)
    // of a runtime that went meanwhile they may be the next one's: whoever reads finds that out, and nothing is kept
    if (this.#version === version) {
      await this.#cache.put(version, metadata).catch((error) => log.debug('the metadata of the chain were not kept', error))
    }
    return layout
  }

  /** @throws ChainError */
  async #readMetadata(metadata: Uint8Array, version: string): Promise<Layout> {
    const LayoutOf = await loadLayoutClass()
    try {
      return new LayoutOf(metadata, version)
    } catch (cause) {
      throw new ChainError(`chain ${this.rpc.endpoint}: state_getMetadata: ${describeError(cause)}`, { cause })
    }
  }
}

/** What the chain has is not of the layout that it was read with. */
export class LayoutError extends ChainError {
  readonly layout: Layout

  constructor(message: string, layout: Layout, cause: unknown) {
    super(message, { cause })
    this.layout = layout
  }
}
