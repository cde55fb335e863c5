import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Migration, openDatabase } from '../../../src/primitives/database.ts'
import { versionIn } from '../../support/old-databases.ts'
import { TempFolders } from '../../support/temp.ts'

const FIRST = 'CREATE TABLE words (word TEXT) STRICT'
const SECOND = 'ALTER TABLE words ADD COLUMN language TEXT'

describe('migrations', () => {
  const folders = new TempFolders()
  let file: string

  beforeEach(async () => {
    file = join(await folders.make(), 'test.db')
  })

  afterEach(async () => folders.clean())

  async function open(migrations: readonly Migration[]): Promise<unknown[]> {
    const database = await openDatabase({ file }, migrations)
    try {
      database.exec("INSERT INTO words (word) VALUES ('word')")
      return database.prepare('SELECT * FROM words').all()
    } finally {
      database.close()
    }
  }

  it('run once each, in their order, and keep the rows', async () => {
    const ran: number[] = []
    const third: Migration = (database) => {
      ran.push(3)
      database.exec("UPDATE words SET language = 'en'")
    }
    await open([FIRST])
    assert.deepEqual((await open([FIRST, SECOND])).length, 2)
    assert.deepEqual(
      (await open([FIRST, SECOND, third])).map((row) => ({ ...(row as object) })),
      [
        { word: 'word', language: 'en' },
        { word: 'word', language: 'en' },
        { word: 'word', language: null },
      ],
    )
    await open([FIRST, SECOND, third])
    assert.deepEqual(ran, [3])
    assert.equal(versionIn(file), 3)
  })

  it('of which one fails leave the database as it was', async () => {
    await open([FIRST])
    await assert.rejects(open([FIRST, SECOND, 'DROP TABLE nowhere']), /no such table/)
    assert.equal(versionIn(file), 1)
    assert.deepEqual(Object.keys((await open([FIRST]))[0] as object), ['word'])
  })

  it('whose process dies leave the database as it was', async () => {
    await open([FIRST])
    const child = fork(new URL('dies-in-migration.ts', import.meta.url), [file, FIRST, SECOND])
    assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL'])
    assert.equal(versionIn(file), 1)
    assert.equal((await open([FIRST, SECOND])).length, 2)
    assert.equal(versionIn(file), 2)
  })

  it('are not run on a database that had more of them', async () => {
    await open([FIRST, SECOND])
    await assert.rejects(open([FIRST]), { code: 'USAGE', message: /has version 2, and this program reads versions up to 1/ })
    assert.equal(versionIn(file), 2)
  })

  it('are not run on a database whose number is none of theirs', async () => {
    const other = new DatabaseSync(file)
    other.exec('CREATE TABLE other (a); PRAGMA user_version = -3')
    other.close()
    await assert.rejects(open([FIRST]), { code: 'USAGE', message: /has version -3/ })
  })
})
