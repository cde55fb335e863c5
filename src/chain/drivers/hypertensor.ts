import type { DatabaseSync } from 'node:sqlite'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import type { Logger } from '../../observe/logger.ts'
import type { NamedOver } from '../../primitives/address-kind.ts'
import { Deadline, isDeadline } from '../../primitives/deadline.ts'
import { UsageError } from '../../primitives/errors.ts'
import { blocks } from '../hypertensor/block-watch.ts'
import { namedOverEndpoints } from '../hypertensor/endpoint-kind.ts'
import { type ChainOptions as ConnectionOptions, HypertensorChain } from '../hypertensor/hypertensor-chain.ts'
import { freshnessOf, type KeptDescription, NOTHING, ofKept, ofList, toKept, toListing } from '../hypertensor/kept-peers.ts'
import { type Answer, LastAnswers } from '../hypertensor/last-answers.ts'
import { readBlockHash } from '../hypertensor/runtime.ts'
import { type AtBlock, type StoredPeer, SubnetStorage } from '../hypertensor/subnet-storage.ts'
import { SubnetWatch } from '../hypertensor/subnet-watch.ts'
import {
  CHAIN_PATIENCE_MS,
  type ChainChange,
  type ChainDescription,
  ChainError,
  type ChainListing,
  type ChainOptions,
  type ChainRecord,
  type ChainRegistry,
  type ChainState,
  NODE_CLASSES,
  type NodeClass,
  NoSubnetError,
  type PublishedRecord,
  type PublishOptions,
  type Registration,
} from '../registry.ts'

/** Sizes in bytes, times in milliseconds. */
export interface HypertensorOptions extends ConnectionOptions {
  /** Time limit of a request without a signal, for all its calls together. */
  answerTimeoutMs: number
  /** How long the chain may be silent before its last answer, if known, is returned. */
  patienceMs: number
  /** Time limit from the submission of a change until its block. */
  inclusionMs: number
}

/** Options for opening a Hypertensor chain. */
export interface HypertensorInit {
  /** `ws://…` or `wss://…`. Later endpoints are used while earlier ones fail. */
  endpoints: readonly string[]
  /** The id on the chain, or, below 128000, the friendly id. */
  subnetId: number
  /** The peer to publish for, of this home or another one; without it publishing is not possible. */
  self?: PeerId | undefined
  /** Folder of the metadata cache; without it metadata are fetched each time. */
  cacheFolder?: string | undefined
  /** Opens a database with `CHAIN_ANSWERS_SCHEMA`, which is closed with the registry; without it answers are kept in memory. */
  openDatabase?: (() => Promise<DatabaseSync>) | undefined
  options?: Partial<HypertensorOptions> | undefined
  log: Logger
}

const MIB = 1_024 * 1_024

function defaults(endpoints: number): HypertensorOptions {
  // with a second endpoint, a silent one is given up sooner
  const alone = endpoints === 1
  return {
    connectTimeoutMs: alone ? 8_000 : 3_000,
    maxMessageBytes: 16 * MIB,
    pingAfterMs: alone ? 1_500 : 700,
    silenceMs: alone ? 6_500 : 1_300,
    idleSilenceMs: 15_000,
    callTimeoutMs: 30_000,
    maxInFlight: 64,
    maxQueued: 1_024,
    backoff: { firstMs: 200, maxMs: 15_000 },
    maxMetadataBytes: 4 * MIB,
    blockMs: 6_000,
    answerTimeoutMs: 20_000,
    patienceMs: CHAIN_PATIENCE_MS,
    inclusionMs: 48_000,
  }
}

/**
 * A Hypertensor chain, accessed by its storage and its RPC. Data about a peer comes from the account that owns the node. The peer itself
 * did not sign it, so no record is `verified`. While the chain is unreachable its last answers are returned, marked `stale`.
 */
export class HypertensorRegistry implements ChainRegistry {
  readonly writes = 'paid'
  readonly makesBlocks = true
  readonly namedOver: NamedOver
  readonly #options: HypertensorOptions
  readonly #log: Logger
  readonly #chain: HypertensorChain
  readonly #storage: SubnetStorage
  readonly #answers: LastAnswers
  readonly #closed = new AbortController()
  /** Why the last request got no answer from the chain; a single call may still succeed. */
  #failure: string | undefined
  #failures = 0
  readonly #self: PeerId | undefined

  constructor(init: HypertensorInit) {
    const { endpoints, subnetId, cacheFolder, log } = init
    this.#options = { ...defaults(endpoints.length), ...init.options }
    this.#log = log
    this.#self = init.self
    this.namedOver = namedOverEndpoints(endpoints)
    this.#answers = new LastAnswers({ open: init.openDatabase, chain: `hypertensor:${endpoints.join(',')}`, subnetId, log })
    this.#chain = new HypertensorChain({ endpoints, options: this.#options, cacheFolder, genesis: this.#answers, log })
    this.#storage = new SubnetStorage(this.#chain, subnetId, log)
    this.#chain.onOtherChain = () => this.#storage.forget()
  }

  async lookup(peerId: PeerId, options: ChainOptions = {}): Promise<ChainRecord> {
    const question = `peer ${peerId.toString()}`
    const answer = await this.#asked(
      options,
      async () => {
        const [own, list] = await Promise.all([this.#answers.get(question), this.#answers.get(LIST)])
        return list != null && newerOf(own, list) === list ? () => ofList(list, peerId) : answerOf(own)
      },
      async (within) => {
        const found = await this.#storage.lookup(peerId, within)
        return this.#keep(question, { ...found, value: found.value == null ? [] : [found.value] })
      },
    )
    return toListing(answer).records[0] ?? { ...NOTHING, peerId, ...freshnessOf(answer) }
  }

  async list(options: ChainOptions = {}): Promise<ChainListing> {
    const answer = await this.#asked(
      options,
      async () => answerOf(newerOf(await this.#answers.get(LIST), await this.#answers.get(PART))),
      async (within) => {
        const { value, block } = await this.#storage.list(within)
        return this.#keep(value.unread === 0 ? LIST : PART, { value: value.peers, block })
      },
    )
    return toListing(answer)
  }

  async bootnodes(options: ChainOptions = {}): Promise<ChainListing> {
    const question = 'the bootnodes'
    const answer = await this.#asked(
      options,
      async () => answerOf(await this.#answers.get(question)),
      async (within) => this.#keep(question, await this.#storage.bootnodes(within)),
    )
    return toListing(answer)
  }

  async describe(peerId: PeerId, options: ChainOptions = {}): Promise<ChainDescription> {
    const question = `about ${peerId.toString()}`
    const answer = await this.#asked(
      options,
      async () => answerOf(await this.#answers.get(question)),
      async (within) => {
        const { value, block } = await this.#storage.describe(peerId, within)
        const { peer, ...rest } = value
        return this.#put(question, { ...rest, peer: peer == null ? null : toKept(peer) }, block)
      },
    )
    const { peer, subnetId, friendlyId, hotkey, coldkey } = JSON.parse(answer.json) as KeptDescription
    const record = peer == null ? { ...NOTHING, peerId } : { ...NOTHING, ...ofKept(peer), known: true }
    return { ...record, ...freshnessOf(answer), subnetId, friendlyId, hotkey, coldkey }
  }

  async isRegistered(peerId: PeerId, minClass: NodeClass, options: ChainOptions = {}): Promise<Registration> {
    const question = `registered ${minClass} ${peerId.toString()}`
    const { json, block, readAtMs, stale } = await this.#asked(
      options,
      async () => answerOf(await this.#answers.get(question)),
      async (within) => {
        const { value: registered, block } = await this.#storage.hasStake(peerId, NODE_CLASSES.indexOf(minClass), within)
        return this.#put(question, registered, block)
      },
    )
    return { peerId, registered: json === 'true', block, stale, readAtMs }
  }

  async *watch({ signal, only }: { signal: AbortSignal; only?: 'blocks' | undefined }): AsyncGenerator<ChainChange> {
    const over = AbortSignal.any([signal, this.#closed.signal])
    const init = { chain: this.#chain, storage: this.#storage, log: this.#log }
    yield* only === 'blocks' ? blocks(init, over) : new SubnetWatch(init).changes(over)
  }

  state(): ChainState {
    const { endpoint, lagMs, lastError } = this.#chain.rpc
    const { block, problems, clockOffsetMs } = this.#chain.health
    return { endpoint, block, lagMs, lastError: this.#failure ?? lastError, failures: this.#failures, problems, clockOffsetMs }
  }

  async register(): Promise<Registration> {
    throw this.#notFromHere(
      'nodes cannot be registered from here',
      'call Network.register_subnet_node on the chain, signed by the account that stakes for the node',
    )
  }

  async unregister(): Promise<boolean> {
    throw this.#notFromHere(
      'nodes cannot be unregistered from here',
      'call Network.remove_subnet_node on the chain, signed by the account that owns the node',
    )
  }

  /** Publishes with the signature of the account that owns the node, after `approve` accepted the change and its fee. */
  async publish(multiaddrs: Multiaddr[], options: PublishOptions = {}): Promise<PublishedRecord> {
    const { signer, signal } = options
    if (signer == null || this.#self == null) {
      throw new UsageError(`chain ${this.#chain.rpc.endpoint}: to publish an address, the account that owns the node must sign`, {
        hint: 'run "subnet chain publish --owner-key FILE" on a machine that has the key: only that process reads the key',
      })
    }
    const { PeerPublisher } = await import('../hypertensor/writing/peer-publisher.ts')
    const { inclusionMs, blockMs } = this.#options
    const publisher = new PeerPublisher({
      chain: this.#chain,
      storage: this.#storage,
      self: this.#self,
      options: { inclusionMs, pollMs: Math.max(1, Math.floor(blockMs / 3)) },
    })
    const within = signal == null ? this.#closed.signal : AbortSignal.any([signal, this.#closed.signal])
    return publisher.publish(multiaddrs, signer, options, within)
  }

  async remove(): Promise<boolean> {
    throw this.#notFromHere(
      'addresses cannot be removed from here',
      'replace the address with "subnet chain publish", or call Network.update_peer_info without an address on the chain, signed by the coldkey',
    )
  }

  networkChanged(): void {
    const { rpc } = this.#chain
    rpc.retryNow()
    // a connection from a lost address only falls silent: the ping detects this now, before the next request
    rpc.call('chain_getBlockHash', [0], { read: readBlockHash }).catch(() => undefined)
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#chain.close()
    await this.#answers.close()
  }

  #keep(question: string, { value, block }: AtBlock<StoredPeer[]>): Answer & { peers: StoredPeer[] } {
    return { ...this.#put(question, value.map(toKept), block), peers: value }
  }

  #put(question: string, value: unknown, block: number): Answer {
    const answer = { json: JSON.stringify(value), block, readAtMs: Date.now() }
    this.#answers.put(question, answer)
    return answer
  }

  /** The chain's answer, or its last answer while the chain is unreachable. @throws ChainError, UsageError; the signal's reason */
  async #asked<Fresh extends Answer>(
    { signal, patienceMs }: ChainOptions,
    last: () => Promise<(() => Answer) | undefined>,
    ask: (within: AbortSignal) => Promise<Fresh>,
  ): Promise<(Answer | Fresh) & { stale: boolean }> {
    signal?.throwIfAborted()
    const [genesis, kept] = await Promise.all([this.#answers.genesis(), last()])
    const { answerTimeoutMs } = this.#options
    const deadline = new Deadline(signal == null ? answerTimeoutMs : undefined, signal)
    // continues after the end of the patience: a late answer becomes the next last answer
    const asking = this.#askedOne(ask, deadline.signal).finally(() => deadline.clear())
    const patience = kept == null ? undefined : this.#patience(patienceMs)
    try {
      const answer = await raceSignal(asking, patience?.signal)
      this.#failure = undefined
      this.#chain.health.foundSubnet(this.#storage.subnetId)
      return { ...answer, stale: false }
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof NoSubnetError) {
        this.#chain.health.missedSubnet(this.#storage.subnetId)
      }
      const failure = isDeadline(error) ? this.#late(error) : error
      if (failure instanceof ChainError) {
        this.#failures++
        this.#failure = failure.message
      }
      const isOther = this.#chain.genesis != null && this.#chain.genesis !== genesis
      if (kept == null || isOther || this.#closed.signal.aborted || !(failure instanceof ChainError)) {
        throw failure
      }
      this.#log.debug('the chain is unreachable: its last answer is used', failure)
      return { ...kept(), stale: true }
    } finally {
      patience?.clear()
    }
  }

  /** An answer from a single chain. If the endpoint switched to another chain during the request, the request is repeated. */
  async #askedOne(ask: (within: AbortSignal) => Promise<Answer>, within: AbortSignal): Promise<Answer> {
    for (;;) {
      const { genesis } = this.#chain
      const answer = await ask(within)
      if (genesis == null || genesis === this.#chain.genesis) {
        return answer
      }
    }
  }

  /** Aborts after `patienceMs`. Without it, aborts once the chain has been silent for some time: a slow chain is not unreachable. */
  #patience(patienceMs: number | undefined): { signal: AbortSignal; clear(): void } {
    const over = new AbortController()
    const startedAtMs = performance.now()
    let timer: NodeJS.Timeout
    const look = (): void => {
      const silentMs = Math.min(performance.now() - startedAtMs, this.#chain.rpc.lagMs ?? Number.POSITIVE_INFINITY)
      const leftMs = patienceMs == null ? this.#options.patienceMs - silentMs : 0
      if (leftMs <= 0) {
        over.abort(new DOMException('the chain is silent', 'TimeoutError'))
      } else {
        timer = setTimeout(look, leftMs)
      }
    }
    timer = setTimeout(look, patienceMs ?? this.#options.patienceMs)
    return { signal: over.signal, clear: () => clearTimeout(timer) }
  }

  #late(cause: unknown): ChainError {
    const { endpoint, lastError } = this.#chain.rpc
    return new ChainError(lastError ?? `chain ${endpoint}: no answer in time`, { cause })
  }

  #notFromHere(what: string, instead: string): UsageError {
    return new UsageError(`chain ${this.#chain.rpc.endpoint}: ${what}`, {
      hint: `${instead}; only a ledger (--chain ledger:/path/file.db) allows this from here`,
    })
  }
}

const LIST = 'the list'
/** A list without its unreadable records: a peer missing here may still be in the subnet. */
const PART = 'a part of the list'

function answerOf(answer: Answer | undefined): (() => Answer) | undefined {
  return answer == null ? undefined : () => answer
}

function newerOf(one: Answer | undefined, other: Answer | undefined): Answer | undefined {
  return one == null || (other != null && other.readAtMs > one.readAtMs) ? other : one
}
