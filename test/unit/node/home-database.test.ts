import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { AddressBook } from '../../../src/gossip/address-book.ts'
import { Aliases } from '../../../src/node/home/aliases.ts'
import { type Home, homeAt } from '../../../src/node/home/home.ts'
import { openHomeDatabase } from '../../../src/node/home/home-database.ts'
import { SubnetError } from '../../../src/primitives/errors.ts'
import { newPeer } from '../../support/keys.ts'
import { makeNewer, makeOldDatabase, versionIn, WRITTEN_AT_MS } from '../../support/old-databases.ts'
import { OTHER_PEER_ID, PEER_ID } from '../../support/seeds.ts'
import { TempFolders } from '../../support/temp.ts'
import { signedEntry } from '../gossip/temporary-book.ts'

const PROCESSES = 3

/** All rows of all tables. */
function contentOf(file: string): Record<string, unknown[]> {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all()
    return Object.fromEntries(
      tables.map(({ name }) => {
        const rows = database.prepare(`SELECT * FROM ${name}`)
        rows.setReadBigInts(true)
        return [name, rows.all()]
      }),
    )
  } finally {
    database.close()
  }
}

describe('the database of a home', () => {
  const folders = new TempFolders()
  let home: Home

  beforeEach(async () => {
    home = homeAt(await folders.make())
  })

  afterEach(async () => folders.clean())

  it('of 0.1.0 is opened, gets a version, and keeps all that it knows', async () => {
    await makeOldDatabase(home.databaseFile, 'node-0.1.0')
    const before = contentOf(home.databaseFile)
    assert.equal(Object.values(before).flat().length, 6)
    const database = await openHomeDatabase(home)
    try {
      const book = new AddressBook(database, { now: () => WRITTEN_AT_MS })
      const known = book.list().map(({ peerId, seq, namedOver, verified }) => ({ peerId: peerId.toString(), seq, namedOver, verified }))
      assert.deepEqual(
        known.sort((a, b) => (a.peerId < b.peerId ? -1 : 1)),
        [
          { peerId: OTHER_PEER_ID, seq: 7n, namedOver: 'private', verified: undefined },
          { peerId: PEER_ID, seq: BigInt(WRITTEN_AT_MS), namedOver: 'stranger', verified: true },
        ],
      )
      assert.deepEqual(new Aliases(database, new AddressBook(database)).list(), [{ alias: 'bob', peerId: OTHER_PEER_ID }])
      assert.equal(await book.put(await signedEntry(await newPeer(), 1)), 'stored')
    } finally {
      database.close()
    }
    assert.equal(versionIn(home.databaseFile), 1)
    const { address_book: peers, ...rest } = contentOf(home.databaseFile)
    const { address_book: oldPeers = [], ...oldRest } = before
    assert.deepEqual(rest, oldRest)
    assert.equal(peers?.length, oldPeers.length + 1)
  })

  it('that is new has the same version', async () => {
    ;(await openHomeDatabase(home)).close()
    assert.equal(versionIn(home.databaseFile), 1)
  })

  it('of a newer version is left as it is, with one line that says so', async () => {
    await makeOldDatabase(home.databaseFile, 'node-0.1.0')
    makeNewer(home.databaseFile)
    const [before, files] = [await readFile(home.databaseFile), await readdir(home.path)]
    await assert.rejects(openHomeDatabase(home), (error) => {
      assert.ok(error instanceof SubnetError)
      assert.equal(error.code, 'USAGE')
      assert.match(
        error.message,
        /^the address book \S+ has version 1000, and this program reads versions up to \d+: a newer program wrote the file$/,
      )
      assert.match(error.hint ?? '', /^update subnet; --home names another home$/)
      return true
    })
    assert.deepEqual(await readFile(home.databaseFile), before)
    assert.deepEqual(await readdir(home.path), files)
  })

  it('of 0.1.0 may be opened by several processes at once', async () => {
    await makeOldDatabase(home.databaseFile, 'node-0.1.0')
    const before = contentOf(home.databaseFile)
    const opener = new URL('home-opener.ts', import.meta.url)
    const children = Array.from({ length: PROCESSES }, () => fork(opener, [home.path], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }))
    const ended = Promise.all(children.map(async (child) => once(child, 'exit')))
    await Promise.all(children.map(async (child) => once(child, 'message')))
    for (const child of children) {
      child.send('open')
    }
    assert.deepEqual(await ended, Array(PROCESSES).fill([0, null]))
    assert.equal(versionIn(home.databaseFile), 1)
    assert.deepEqual(contentOf(home.databaseFile), before)
  })
})
