import { createHash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../../observe/logger.ts'
import { retryWhileBusy, transaction } from '../../primitives/database.ts'

/** An answer of a chain as JSON, with its block and its Unix time in milliseconds. */
export interface Answer {
  json: string
  block: number
  readAtMs: number
}

/** Maximum number of stored answers in a home, for all chains and subnets. The oldest are deleted first. */
const MAX_ANSWERS = 10_000
const MAX_JSON_LENGTH = 4 * 1_024 * 1_024
const MAX_IN_MEMORY = 2_000
const MAX_JSON_IN_MEMORY = 16 * 1_024 * 1_024
const MAX_CHAINS = 100
/** An unchanged answer is not written again within this time. */
const WRITE_EVERY_MS = 30_000

const UPSERT = `
  INSERT INTO chain_answers (chain, subnet_id, question, json, block, read_at_ms) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET json = excluded.json, block = excluded.block, read_at_ms = excluded.read_at_ms
  WHERE excluded.read_at_ms >= read_at_ms
`

const MAKE_ROOM = `
  DELETE FROM chain_answers
  WHERE read_at_ms <= (SELECT read_at_ms FROM chain_answers ORDER BY read_at_ms DESC LIMIT 1 OFFSET ${MAX_ANSWERS})
`

/** Rows of earlier versions, which used the URL itself as key. */
const FORGET_URLS = "DELETE FROM chain_answers WHERE chain >= 'hypertensor:ws' AND chain < 'hypertensor:wt'"
/** Deleted content stays in the file until its pages are rewritten. */
const WRITE_ANEW = 'VACUUM; PRAGMA wal_checkpoint(TRUNCATE)'

export interface LastAnswersInit {
  /** Opens a database with `CHAIN_ANSWERS_SCHEMA`; if undefined, answers are kept in memory. */
  open: (() => Promise<DatabaseSync>) | undefined
  /** The chain's URL. The database stores only its digest, because the URL may contain a key, and databases are copied. */
  chain: string
  subnetId: number
  log: Logger
}

const KEEP_GENESIS = 'INSERT INTO chain_genesis (chain, hash) VALUES (?, ?) ON CONFLICT DO UPDATE SET hash = excluded.hash'
/** Maximum number of chain URLs with a stored genesis hash. */
const MAKE_ROOM_FOR_GENESIS = `
  DELETE FROM chain_genesis WHERE chain NOT IN (SELECT chain FROM chain_genesis ORDER BY chain = ? DESC LIMIT ${MAX_CHAINS})
`

interface KnownGenesis {
  hash: string
  isWritten: boolean
}

/**
 * Stores the last answers of a chain for outages, and its genesis hash. Answers of another chain behind the same URL are not returned. If
 * the database cannot be read or written, that is logged, and the answers in memory are used.
 */
export class LastAnswers {
  readonly #init: LastAnswersInit
  readonly #chain: string
  readonly #recent = new LRUCache<string, Answer>({
    max: MAX_IN_MEMORY,
    maxSize: MAX_JSON_IN_MEMORY,
    sizeCalculation: ({ json }) => json.length + 1,
  })
  readonly #writtenAtMs = new LRUCache<string, number>({ max: MAX_IN_MEMORY })
  readonly #unwritten = new Map<string, Answer>()
  #database: Promise<DatabaseSync | undefined> | undefined
  #writing: Promise<void> | undefined
  #closed = false
  /** The genesis hash of the last chain connected in this run. */
  #genesis: KnownGenesis | undefined
  #keptGenesis: Promise<string | undefined> | undefined

  constructor(init: LastAnswersInit) {
    this.#init = init
    this.#chain = `sha256:${createHash('sha256').update(init.chain).digest('hex')}`
  }

  /** The genesis hash of the chain behind this URL, from this run or the previous one. Never fails. */
  async genesis(): Promise<string | undefined> {
    this.#keptGenesis ??= this.#readGenesis()
    return this.#genesis?.hash ?? this.#keptGenesis
  }

  /** Sets the genesis hash of the chain: from now on its answers are returned and stored. */
  sawGenesis(hash: string): void {
    if (this.#closed || this.#genesis?.hash === hash) {
      return
    }
    if (this.#genesis != null) {
      this.#recent.clear()
      this.#writtenAtMs.clear()
      this.#unwritten.clear()
    }
    this.#genesis = { hash, isWritten: this.#init.open == null }
    if (this.#init.open != null) {
      this.#writing ??= this.#write()
    }
  }

  async get(question: string): Promise<Answer | undefined> {
    const recent = this.#recent.get(question)
    if (recent != null) {
      return recent
    }
    try {
      const chain = this.#chainOf(await this.genesis())
      const row = (await this.#open())
        ?.prepare('SELECT json, block, read_at_ms FROM chain_answers WHERE chain = ? AND subnet_id = ? AND question = ?')
        .get(chain, this.#init.subnetId, question)
      return row == null ? undefined : { json: String(row.json), block: Number(row.block), readAtMs: Number(row.read_at_ms) }
    } catch (error) {
      this.#init.log.debug('the last answers of the chain cannot be read', error)
      return undefined
    }
  }

  /** Stores an answer; the write follows shortly after. */
  put(question: string, answer: Answer): void {
    if (this.#closed || answer.json.length > MAX_JSON_LENGTH) {
      return
    }
    const known = this.#recent.get(question)
    const isNews = known?.json !== answer.json || answer.readAtMs - (this.#writtenAtMs.get(question) ?? 0) > WRITE_EVERY_MS
    this.#recent.set(question, answer)
    if (isNews && this.#init.open != null) {
      this.#unwritten.set(question, answer)
      this.#writtenAtMs.set(question, answer.readAtMs)
      this.#writing ??= this.#write()
    }
  }

  /** Waits for pending writes and closes the database. May be called twice. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#writing
    const database = await this.#database
    this.#database = undefined
    if (database?.isOpen === true) {
      database.close()
    }
  }

  async #readGenesis(): Promise<string | undefined> {
    try {
      const row = (await this.#open())?.prepare('SELECT hash FROM chain_genesis WHERE chain = ?').get(this.#chain)
      return row == null ? undefined : String(row.hash)
    } catch (error) {
      this.#init.log.debug('the last genesis hash of the chain cannot be read', error)
      return undefined
    }
  }

  /** The storage key for answers: different chains behind one URL have different keys. */
  #chainOf(genesis: string | undefined): string {
    return `${this.#chain} of ${genesis ?? 'an unknown chain'}`
  }

  async #open(): Promise<DatabaseSync | undefined> {
    if (this.#closed && this.#database == null) {
      return undefined
    }
    this.#database ??= this.#init.open?.().catch((error) => {
      this.#init.log.warn('answers of the chain are not stored', error)
      return undefined
    })
    return this.#database
  }

  async #write(): Promise<void> {
    let genesis: KnownGenesis | undefined
    try {
      const database = await this.#open()
      // all answers of the same moment form one transaction
      await new Promise(setImmediate)
      genesis = this.#genesis
      const answers = [...this.#unwritten]
      this.#unwritten.clear()
      if (database != null) {
        // the previous genesis hash must be read before it is overwritten
        await this.#keptGenesis
        if (await retryWhileBusy(() => this.#store(database, genesis, answers))) {
          await retryWhileBusy(() => database.exec(WRITE_ANEW))
        }
      }
    } catch (error) {
      this.#init.log.debug('answers of the chain were not stored', error)
    } finally {
      this.#writing = this.#unwritten.size > 0 || this.#genesis !== genesis ? this.#write() : undefined
    }
    await this.#writing
  }

  /** True if URLs of earlier versions were found and deleted. */
  #store(database: DatabaseSync, genesis: KnownGenesis | undefined, answers: Array<[string, Answer]>): boolean {
    const { subnetId } = this.#init
    const chain = this.#chainOf(genesis?.hash)
    const forgotten = transaction(database, () => {
      if (genesis?.isWritten === false) {
        database.prepare(KEEP_GENESIS).run(this.#chain, genesis.hash)
        database.prepare(MAKE_ROOM_FOR_GENESIS).run(this.#chain)
      }
      const statement = database.prepare(UPSERT)
      for (const [question, { json, block, readAtMs }] of answers) {
        statement.run(chain, subnetId, question, json, block, readAtMs)
      }
      const { changes } = database.prepare(FORGET_URLS).run()
      database.exec(MAKE_ROOM)
      return Number(changes) > 0
    })
    if (genesis != null) {
      genesis.isWritten = true
    }
    return forgotten
  }
}
