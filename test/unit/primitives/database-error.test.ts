import assert from 'node:assert/strict'
import { chmod, mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Database, openDatabase, openToRead, transaction } from '../../../src/primitives/database.ts'
import { DatabaseError, toDatabaseError } from '../../../src/primitives/database-error.ts'
import { asAnyUser } from '../../support/any-user.ts'
import { onSmallDisk, SmallDisk, whyNoSmallDisk } from '../../support/small-disk.ts'
import { TempFolders } from '../../support/temp.ts'

const SCHEMA = 'CREATE TABLE IF NOT EXISTS words (word TEXT) STRICT'
const ABOUT = { name: 'the word list', ifDamaged: 'a new one is made', elsewhere: '--list names another' }
const refusal = await whyNoSmallDisk()

/** SQLite's primary codes that are about a file, with what the message says and what the hint must not say of a file that is whole. */
const WORDS: Array<[name: string, errcode: number, code: 'USAGE' | 'TIMEOUT', message: RegExp, hint: RegExp]> = [
  ['PERM', 3, 'USAGE', /cannot be opened/, /readable and writable/],
  ['BUSY', 5, 'TIMEOUT', /is locked by another program/, /is intact/],
  ['BUSY_SNAPSHOT', 517, 'TIMEOUT', /is locked by another program/, /is intact/],
  ['LOCKED', 6, 'TIMEOUT', /is locked by another program/, /is intact/],
  ['READONLY', 8, 'USAGE', /cannot be written/, /is intact.* must be writable/],
  ['READONLY_DBMOVED', 1_032, 'USAGE', /was moved or removed while it was in use/, /start them again/],
  ['IOERR_WRITE', 778, 'USAGE', /the disk reports an error \(SQLite code 778\)/, /may be intact.*dmesg/],
  ['IOERR_SHMSIZE', 4_874, 'USAGE', /the disk is full/, /is intact: make room/],
  ['CORRUPT', 11, 'USAGE', /is damaged/, /a new one is made/],
  ['FULL', 13, 'USAGE', /the disk is full/, /is intact: make room/],
  ['CANTOPEN', 14, 'USAGE', /cannot be opened/, /readable and writable/],
  ['PROTOCOL', 15, 'TIMEOUT', /is locked by another program/, /is intact/],
  ['NOLFS', 22, 'USAGE', /exceeds the size limit for files here/, /is intact/],
  ['NOTADB', 26, 'USAGE', /is not an SQLite database/, /a new one is made/],
]

describe("SQLite's word for a file", () => {
  const folders = new TempFolders()
  let folder: string
  let file: string

  beforeEach(async () => {
    folder = await folders.make()
    file = join(folder, 'words.db')
  })

  afterEach(async () => folders.clean())

  const about = (): { file: string } => ({ ...ABOUT, file })
  const fails = (code: DatabaseError['code'], message: RegExp, hint: RegExp) => (error: unknown) => {
    assert.ok(error instanceof DatabaseError, String(error))
    assert.equal(error.code, code)
    assert.ok(error.message.startsWith(`the word list ${file} `), error.message)
    assert.match(error.message, message)
    assert.match(error.hint ?? '', hint)
    return true
  }

  for (const [name, errcode, code, message, hint] of WORDS) {
    it(`${name} has a message, a hint and a code`, async () => {
      await writeFile(file, '')
      const error = toDatabaseError(Object.assign(new Error(name), { errcode }), about())
      assert.ok(fails(code, message, hint)(error))
      assert.equal((error as DatabaseError).errcode, errcode)
      assert.equal(toDatabaseError(error, about()), error)
    })
  }

  it('is left as it is where it is about the SQL, and so is what is no word of SQLite', () => {
    for (const error of [Object.assign(new Error('no such table'), { errcode: 1 }), new Error('another'), undefined, null, 'text']) {
      assert.equal(toDatabaseError(error, about()), error)
    }
  })

  it('comes through every way to ask a database', async () => {
    const database = await openDatabase(about(), [SCHEMA])
    const [insert, all] = [database.prepare("INSERT INTO words VALUES ('word')"), database.prepare('SELECT * FROM words')]
    insert.run()
    const other = new DatabaseSync(file, { timeout: 0 })
    other.exec('BEGIN IMMEDIATE')
    const busy = fails('TIMEOUT', /locked/, /intact/)
    assert.throws(() => insert.run(), busy)
    assert.throws(() => database.prepare("INSERT INTO words VALUES ('b') RETURNING word").get(), busy)
    assert.throws(() => database.prepare("INSERT INTO words VALUES ('b') RETURNING word").all(), busy)
    assert.throws(() => database.exec('DELETE FROM words'), busy)
    assert.throws(() => transaction(database, () => undefined), busy)
    assert.throws(() => database.prepare('SELECT meaning FROM words'), /no such column/)
    assert.equal(all.all().length, 1)
    other.close()
    database.close()
  })

  it('a file that is no database, or was cut, is told from one that is whole', async () => {
    await writeFile(file, 'a text that is long enough not to be taken for an empty database\n'.repeat(20))
    await assert.rejects(openDatabase(about(), [SCHEMA]), fails('USAGE', /is not an SQLite database/, /a new one is made/))
    await writeFile(file, '')
    const database = await openDatabase(about(), [SCHEMA])
    transaction(database, () => {
      for (let count = 0; count < 2_000; count++) {
        database.prepare('INSERT INTO words VALUES (?)').run('word '.repeat(20))
      }
    })
    database.close()
    await truncate(file, 8_192)
    await assert.rejects(openDatabase(about(), [SCHEMA]), fails('USAGE', /is damaged/, /a new one is made/))
  })

  it('where a file cannot be opened, says why', async () => {
    await mkdir(join(folder, 'words.db'))
    await assert.rejects(openDatabase(about(), [SCHEMA]), fails('USAGE', /it is a directory/, /--list names another/))
    file = join(folder, 'nowhere', 'words.db')
    await assert.rejects(openDatabase(about(), [SCHEMA]), fails('USAGE', /no such file or directory/, /must exist/))
    await assert.rejects(openToRead(about()), fails('USAGE', /no such file or directory/, /must exist/))
  })

  it('permissions are named: of the file, or of its folder', async () => {
    const database = await openDatabase(about(), [SCHEMA])
    database.close()
    await Promise.all([chmod(file, 0o444), chmod(folder, 0o777)])
    await asAnyUser(async () => {
      await assert.rejects(openDatabase(about(), [SCHEMA]), fails('USAGE', /cannot be written: permission denied/, /is intact/))
      const readOnly = await openToRead(about())
      assert.throws(() => readOnly.exec('DELETE FROM words'), fails('USAGE', /cannot be written/, /is intact/))
      readOnly.close()
    })
    await chmod(file, 0o000)
    await asAnyUser(async () => {
      await assert.rejects(openDatabase(about(), [SCHEMA]), fails('USAGE', /cannot be opened: permission denied/, /readable and writable/))
    })
  })

  onSmallDisk(refusal, 'a full disk is named, at the opening and later, and what was there stays whole', async () => {
    const disk = await SmallDisk.open()
    try {
      file = join(disk.path, 'words.db')
      const full = fails('USAGE', /cannot be written: the disk is full/, /is intact: make room/)
      const database = await openDatabase(about(), [SCHEMA])
      database.exec("INSERT INTO words VALUES ('word'); PRAGMA wal_checkpoint(TRUNCATE)")
      await disk.fill()
      const insert = (): void =>
        transaction(database, () => {
          for (let count = 0; count < 100; count++) {
            database.prepare('INSERT INTO words VALUES (?)').run('word '.repeat(1_000))
          }
        })
      assert.throws(insert, full)
      // one page more, of a statement that gives a row before it is written
      const returning = database.prepare('INSERT INTO words VALUES (?) RETURNING word')
      assert.throws(() => returning.get('word '.repeat(1_000)), full)
      assert.equal(database.prepare('SELECT count(*) AS n FROM words').get()?.n, 1)
      database.close()
      await rm(`${file}-wal`, { force: true })
      await rm(`${file}-shm`, { force: true })
      await disk.fill()
      await assert.rejects(openDatabase(about(), [SCHEMA]), full)
      await disk.makeRoom()
      const again = await openDatabase(about(), [SCHEMA])
      assert.equal(again.prepare('SELECT count(*) AS n FROM words').get()?.n, 1)
      again.close()
    } finally {
      await disk.close()
    }
  })

  onSmallDisk(refusal, 'a file system that may only be read is named', async () => {
    const disk = await SmallDisk.open()
    try {
      file = join(disk.path, 'words.db')
      new Database(about(), { timeout: 0 }).close()
      await disk.setReadOnly(true)
      await assert.rejects(openDatabase(about(), [SCHEMA]), fails('USAGE', /cannot be written: the file system is read-only/, /is intact/))
    } finally {
      await disk.close()
    }
  })
})
