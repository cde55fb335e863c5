import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { openDatabase, retryWhileBusy, sqliteCode } from '../../../src/primitives/database.ts'

const SCHEMA = 'CREATE TABLE IF NOT EXISTS words (word TEXT) STRICT'
const HELD_MS = 300

describe('a database that processes share', () => {
  let folder: string
  let file: string
  let database: DatabaseSync

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'subnet-database-'))
    file = join(folder, 'test.db')
    database = await openDatabase({ file }, [SCHEMA])
  })

  afterEach(async () => {
    database.close()
    await rm(folder, { recursive: true })
  })

  const write = (): void => database.exec("INSERT INTO words VALUES ('word')")
  const count = (): unknown => database.prepare('SELECT count(*) AS n FROM words').get()?.n

  /** Holds the lock until a timer, which only fires if nobody blocks the event loop, or until it is told to let go. */
  function hold(forMs: number): { letGo(): void } {
    const holder = new DatabaseSync(file)
    holder.exec('BEGIN EXCLUSIVE')
    const letGo = (): void => {
      clearTimeout(timer)
      if (holder.isOpen) {
        holder.close()
      }
    }
    const timer = setTimeout(letGo, forMs)
    return { letGo }
  }

  it('is opened in WAL mode, and again with what is in it', async () => {
    assert.equal(database.prepare('PRAGMA journal_mode').get()?.journal_mode, 'wal')
    write()
    const again = await openDatabase({ file }, [SCHEMA])
    assert.equal(again.prepare('SELECT count(*) AS n FROM words').get()?.n, 1)
    again.close()
  })

  it('is waited for outside the event loop while another writes, then written once', async () => {
    let tries = 0
    hold(HELD_MS)
    const result = await retryWhileBusy(() => {
      tries++
      write()
      return 'done'
    })
    assert.equal(result, 'done')
    assert.ok(tries > 1)
    assert.equal(count(), 1)
  })

  it('is waited for when it is opened', async () => {
    const other = join(folder, 'other.db')
    const holder = new DatabaseSync(other)
    holder.exec('CREATE TABLE unrelated (a); BEGIN EXCLUSIVE')
    setTimeout(() => holder.close(), HELD_MS)
    const opened = await openDatabase({ file: other }, [SCHEMA])
    opened.close()
  })

  it('is given up when the caller does', async () => {
    const holding = hold(10_000)
    const reason = new Error('enough')
    const giveUp = new AbortController()
    setTimeout(() => giveUp.abort(reason), 100)
    await assert.rejects(retryWhileBusy(write, giveUp.signal), (error) => error === reason)
    await assert.rejects(retryWhileBusy(write, AbortSignal.abort(reason)), (error) => error === reason)
    holding.letGo()
    assert.equal(count(), 0)
  })

  it('is given up after five seconds with what SQLite said', async function () {
    this.timeout(30_000)
    const holding = hold(25_000)
    await assert.rejects(retryWhileBusy(write), (error) => sqliteCode(error) === 5)
    holding.letGo()
  })

  it('is not asked twice for anything but a lock', async () => {
    let tries = 0
    const wrong = (): void => {
      tries++
      database.exec('INSERT INTO nowhere VALUES (1)')
    }
    await assert.rejects(retryWhileBusy(wrong), /nowhere/)
    assert.equal(tries, 1)
    assert.equal(sqliteCode(new Error('of something else')), undefined)
    assert.equal(sqliteCode(undefined), undefined)
    await assert.rejects(openDatabase({ file: folder }, [SCHEMA]))
  })
})
