import { raceSignal } from 'race-signal'
import type { Logger } from '../../observe/logger.ts'
import { describeError } from '../../primitives/errors.ts'
import { ChainError } from '../registry.ts'
import { blockIntervalOf } from './block-interval.ts'
import { ChainHealth } from './chain-health.ts'
import { nameOf } from './endpoints.ts'
import { Heads } from './heads.ts'
import type { Layout } from './layout.ts'
import { MetadataCache } from './metadata-cache.ts'
import { fetchMetadata } from './metadata-fetch.ts'
import { RpcClient, type RpcOptions } from './rpc-client.ts'
import { RpcError } from './rpc-error.ts'
import type { RpcSocket } from './rpc-socket.ts'
import { BLOCK_KEY, givesAnyMetadata, readBlockHash, readBlockValue, readHeader, readRuntimeVersion } from './runtime.ts'
import { readStorageValue, StorageReader, type StorageValue } from './storage-reader.ts'

export interface ChainOptions extends RpcOptions {
  maxMetadataBytes: number
  /** The block time in milliseconds. The runtime's version is read again after this time. */
  blockMs: number
}

export interface ChainInit {
  endpoints: readonly string[]
  options: ChainOptions
  /** Folder of the metadata cache. Without it metadata are fetched each time. */
  cacheFolder: string | undefined
  /** Stores the genesis hash for the next run. */
  genesis?: GenesisMemory | undefined
  log: Logger
}

/** Remembers the genesis hash, from this run or an earlier one. */
export interface GenesisMemory {
  /** Never fails. */
  genesis(): Promise<string | undefined>
  sawGenesis(hash: string): void
}

/** Values read from the storage in one call. */
export interface Reading {
  layout: Layout
  values: Map<string, StorageValue>
  /** 0 if the endpoint does not provide the block number. */
  block: number
}

const MAX_LAYOUT_CHANGES = 3

interface RuntimeVersion {
  digest: string
  /** Whether the runtime provides its metadata in a requested version. */
  givesAny: boolean
}

/** @throws Error */
function readVersion(answer: unknown): RuntimeVersion {
  return { digest: readRuntimeVersion(answer), givesAny: givesAnyMetadata(answer) }
}

/** Loading the codecs takes longer than most commands run. */
async function loadLayoutClass(): Promise<typeof Layout> {
  return (await import('./layout.ts')).Layout
}

interface LoadedLayout {
  version: string
  loading: Promise<Layout>
  /** The source of the metadata: the endpoint or the cache. */
  source: { isEndpoint: boolean }
}

/** A Hypertensor chain: the connection and the storage layout. All reads and writes use such an object. */
export class HypertensorChain {
  readonly rpc: RpcClient
  readonly health: ChainHealth
  readonly heads: Heads
  /** Called when the endpoint in use serves another chain than before. Earlier data about the subnet is no longer valid. */
  onOtherChain: (() => void) | undefined
  readonly #init: ChainInit
  readonly #cache: MetadataCache
  readonly #reader: StorageReader
  #genesis: { hash: string; endpoint: string } | undefined
  #version: string | undefined
  #versionAtMs = 0
  #givesAnyMetadata = false
  #checking: Promise<void> | undefined
  #layout: LoadedLayout | undefined
  #blockAtMs = 0
  #tellsBlock: 'storage' | 'header' | 'no' = 'storage'

  constructor(init: ChainInit) {
    const { endpoints, options, log } = init
    this.#init = init
    this.#cache = new MetadataCache(init.cacheFolder)
    this.rpc = new RpcClient({ endpoints, options, log, greet: async (socket, signal) => this.#greet(socket, signal) })
    this.#reader = new StorageReader(this.rpc)
    this.health = new ChainHealth({ endpoint: () => this.rpc.endpoint, log })
    this.heads = new Heads({ rpc: this.rpc, health: this.health, pollMs: options.blockMs, log })
  }

  /** The genesis hash of the chain; undefined before the first connection. */
  get genesis(): string | undefined {
    return this.#genesis?.hash
  }

  /**
   * Reads the keys that `keysOf` returns for the layout of the chain. If the runtime changed meanwhile, reads again with the new layout.
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
    throw new ChainError(`chain ${this.rpc.endpoint}: its runtime keeps changing`)
  }

  /** The current layout of the chain. @throws ChainError; the signal's reason */
  async layout(signal: AbortSignal): Promise<Layout> {
    // while the connection is established
    void loadLayoutClass()
    await this.rpc.ready(signal)
    const version = this.#version as string
    if (this.#layout?.version !== version) {
      this.#load(version, false)
    }
    return raceSignal((this.#layout as LoadedLayout).loading, signal)
  }

  /**
   * Whether this still is the layout. The runtime version is read again, because an answer was invalid or looks wrong. With `mistrust`,
   * metadata from the cache are fetched again and then form another layout.
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

  /** The current block of the chain, or the last one seen if the endpoint does not provide it or fails. */
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
    return this.health.block ?? 0
  }

  /** @throws LayoutError for failures caused by a different layout */
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

  /** @throws RpcError, Error for an endpoint of a different chain */
  async #greet(socket: RpcSocket, signal: AbortSignal): Promise<void> {
    const ask = async <T>(method: string, params: unknown[], read: (answer: unknown) => T): Promise<T> => {
      const answer = await socket.call(method, params, signal)
      try {
        return read(answer)
      } catch (cause) {
        throw new RpcError('unreadable', `chain ${nameOf(socket.endpoint)}: ${method}: ${socket.shown(describeError(cause))}`, { cause })
      }
    }
    const kept = this.#init.genesis?.genesis()
    const [hash, version, stored, header] = await Promise.all([
      ask('chain_getBlockHash', [0], readBlockHash),
      ask('state_getRuntimeVersion', [], readVersion),
      ask('state_getStorage', [BLOCK_KEY], (answer) => readBlockValue(readStorageValue(answer) ?? '')).catch(() => undefined),
      ask('chain_getHeader', [], readHeader).catch(() => undefined),
    ])
    this.#sawGenesis(hash, socket.endpoint, await kept)
    this.#sawVersion(version)
    this.#tellsBlock = stored != null ? 'storage' : header != null ? 'header' : 'no'
    const block = stored ?? header
    if (block != null) {
      this.#sawBlock(block)
    }
  }

  /** @throws Error for an endpoint of a different chain */
  #sawGenesis(hash: string, endpoint: string, kept: string | undefined): void {
    const kind = `endpoint ${endpoint}`
    if (this.#genesis != null && this.#genesis.hash !== hash && this.#genesis.endpoint !== endpoint) {
      const problem = `this endpoint serves another chain than ${nameOf(this.#genesis.endpoint)}`
      this.health.begin(kind, () => `${problem}, and is not used`, nameOf(endpoint))
      throw new Error(problem)
    }
    this.health.end(kind)
    const before = this.#genesis?.hash ?? kept
    this.#genesis = { hash, endpoint: this.#genesis?.endpoint ?? endpoint }
    this.#init.genesis?.sawGenesis(hash)
    if (before != null && before !== hash) {
      this.health.becameOther(hash, before, nameOf(endpoint))
      this.onOtherChain?.()
    }
  }

  #sawVersion({ digest, givesAny }: RuntimeVersion): void {
    // so that the same runtime version on two chains has two names
    this.#version = `${this.#genesis?.hash.slice(2, 34)}-${digest}`
    this.#givesAnyMetadata = givesAny
    this.#versionAtMs = performance.now()
  }

  #sawBlock(block: number): number {
    this.health.saw(block)
    this.#blockAtMs = performance.now()
    return block
  }

  #isOld(atMs: number): boolean {
    return performance.now() - atMs > this.#init.options.blockMs
  }

  #blockOf(values: Map<string, StorageValue>): number {
    const value = values.get(BLOCK_KEY)
    if (value == null) {
      return this.health.block ?? 0
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

  /** Concurrent callers share one answer, but only an answer that was requested after their call. */
  async #checkVersion(): Promise<void> {
    const checking = this.#checking ?? this.#askVersion()
    this.#checking = checking
    await checking
  }

  async #askVersion(): Promise<void> {
    await new Promise(setImmediate)
    this.#checking = undefined
    this.#sawVersion(await this.rpc.call('state_getRuntimeVersion', [], { read: readVersion }))
  }

  #load(version: string, anew: boolean): void {
    const source = { isEndpoint: anew }
    const entry: LoadedLayout = { version, source, loading: this.#loadLayout(version, source) }
    this.#layout = entry
    entry.loading.then(
      ({ runtime }) => this.health.blocksTake(blockIntervalOf(runtime)),
      () => {
        // the next caller tries again
        if (this.#layout === entry) {
          this.#layout = undefined
        }
      },
    )
  }

  async #loadLayout(version: string, source: LoadedLayout['source']): Promise<Layout> {
    const { log } = this.#init
    try {
      const kept = source.isEndpoint ? undefined : await this.#cache.get(version)
      if (kept != null) {
        const LayoutOf = await loadLayoutClass()
        const layout = new LayoutOf(kept, version)
        if (layout.knowsCalls || !this.#givesAnyMetadata) {
          return layout
        }
      }
    } catch (error) {
      log.debug('the cached metadata of the chain cannot be used', error)
    }
    source.isEndpoint = true
    const [{ method, metadata }] = await Promise.all([
      fetchMetadata(this.rpc, { anyVersion: this.#givesAnyMetadata, maxBytes: this.#init.options.maxMetadataBytes }),
      this.#checkVersion(),
    ])
    const layout = await this.#readMetadata(method, metadata, version)
    // if the runtime was replaced meanwhile, these may be the metadata of the next one: readers detect this, and nothing is cached
    if (this.#version === version) {
      await this.#cache.put(version, metadata).catch((error) => log.debug('the metadata of the chain cannot be cached', error))
    }
    return layout
  }

  /** @throws ChainError */
  async #readMetadata(method: string, metadata: Uint8Array, version: string): Promise<Layout> {
    const LayoutOf = await loadLayoutClass()
    try {
      return new LayoutOf(metadata, version)
    } catch (cause) {
      throw new ChainError(`chain ${this.rpc.endpoint}: ${method}: ${describeError(cause)}`, { cause })
    }
  }
}

/** Data of the chain does not match the layout used to decode it. */
export class LayoutError extends ChainError {
  readonly layout: Layout

  constructor(message: string, layout: Layout, cause: unknown) {
    super(message, { cause })
    this.layout = layout
  }
}
