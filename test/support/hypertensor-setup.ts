import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type HypertensorInit, HypertensorRegistry } from '../../src/chain/drivers/hypertensor.ts'
import { CHAIN_ANSWERS_SCHEMA } from '../../src/chain/hypertensor/chain-answers-schema.ts'
import { HypertensorChain } from '../../src/chain/hypertensor/hypertensor-chain.ts'
import { SubnetStorage } from '../../src/chain/hypertensor/subnet-storage.ts'
import { createLogger, type Logger } from '../../src/observe/logger.ts'
import { openDatabase } from '../../src/primitives/database.ts'
import { SUBNET } from './hypertensor-state.ts'
import { StandInChain, type StandInOptions } from './stand-in-chain.ts'

/** Times for tests: what is silent is so soon. */
const QUICK = {
  pingAfterMs: 100,
  silenceMs: 100,
  idleSilenceMs: 200,
  connectTimeoutMs: 1_000,
  callTimeoutMs: 2_000,
  patienceMs: 1_000,
  blockMs: 50,
}

/** Stand-in chains, registries and a home of one test; after `clean` none is left. */
export class HypertensorSetup {
  readonly logged: string[] = []
  readonly #chains: StandInChain[] = []
  readonly #registries: HypertensorRegistry[] = []
  readonly #opened: HypertensorChain[] = []
  #home: string | undefined

  async chain(options?: StandInOptions): Promise<StandInChain> {
    const chain = await StandInChain.start(options)
    this.#chains.push(chain)
    return chain
  }

  registry(endpoints: StandInChain | readonly string[], init: Partial<HypertensorInit> = {}): HypertensorRegistry {
    const registry = new HypertensorRegistry({
      endpoints: endpoints instanceof StandInChain ? [endpoints.url] : endpoints,
      subnetId: SUBNET,
      log: createLogger('debug', (line) => this.logged.push(line)),
      ...init,
      options: { ...QUICK, ...init.options },
    })
    this.#registries.push(registry)
    return registry
  }

  /** What a registry reads with, without what it remembers. */
  storage(chain: StandInChain): SubnetStorage {
    return this.reading(chain).storage
  }

  /** The same, with the connection and the log. */
  reading({ url }: StandInChain): { chain: HypertensorChain; storage: SubnetStorage; log: Logger } {
    const log = createLogger('debug', (line) => this.logged.push(line))
    const options = { ...QUICK, maxMessageBytes: 16 * 1_024 * 1_024, maxInFlight: 64, maxQueued: 1_024, backoff: { firstMs: 1, maxMs: 1 } }
    const patient = { silenceMs: 10_000, callTimeoutMs: 20_000, blockMs: 60_000, maxMetadataBytes: 4 * 1_024 * 1_024 }
    const chain = new HypertensorChain({ endpoints: [url], options: { ...options, ...patient }, cacheFolder: undefined, log })
    this.#opened.push(chain)
    return { chain, storage: new SubnetStorage(chain, SUBNET, log), log }
  }

  /** What keeps a registry's memory in a home: the same for all of one test. */
  async kept(): Promise<Pick<HypertensorInit, 'cacheFolder' | 'openDatabase'> & { cacheFolder: string; file: string }> {
    this.#home ??= await mkdtemp(join(tmpdir(), 'subnet-hypertensor-'))
    const file = join(this.#home, 'node.db')
    return { cacheFolder: join(this.#home, 'chain'), file, openDatabase: async () => openDatabase({ file }, [CHAIN_ANSWERS_SCHEMA]) }
  }

  async clean(): Promise<void> {
    await Promise.all(this.#registries.splice(0).map(async (registry) => registry.close()))
    for (const chain of this.#opened.splice(0)) {
      chain.close()
    }
    await Promise.all(this.#chains.splice(0).map(async (chain) => chain.stop()))
    if (this.#home != null) {
      await rm(this.#home, { recursive: true, force: true })
      this.#home = undefined
    }
    this.logged.length = 0
  }
}
