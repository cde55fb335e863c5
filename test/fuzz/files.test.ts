import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PrivateKey } from '@libp2p/interface'
import { LedgerRegistry } from '../../src/chain/drivers/ledger.ts'
import { History } from '../../src/cli/repl/history.ts'
import { AddressBook } from '../../src/gossip/address-book.ts'
import { homeAt } from '../../src/node/home/home.ts'
import { HOME_MIGRATIONS } from '../../src/node/home/home-database.ts'
import { loadIdentity } from '../../src/node/home/identity.ts'
import { loadSettings } from '../../src/node/home/load-settings.ts'
import { HomeLock } from '../../src/node/home/lock.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { openDatabase, sqliteCode } from '../../src/primitives/database.ts'
import { SubnetError } from '../../src/primitives/errors.ts'
import { fuzz } from '../support/fuzzing.ts'
import { addresses, newPeer, type TestPeer } from '../support/keys.ts'
import { mutated } from '../support/mutations.ts'
import { TempFolders } from '../support/temp.ts'
import { signedEntry } from '../unit/gossip/temporary-book.ts'

const MIB = 1 << 20
const RUNS = 150
const log = createLogger('error', () => undefined)

describe('a file of a home that was damaged while nobody ran', function () {
  this.timeout(0)
  const folders = new TempFolders()
  let whole: string
  let path: string
  let peer: TestPeer
  let identity: PrivateKey

  before(async () => {
    ;[whole, path] = await Promise.all([folders.make(), folders.make()])
    peer = await newPeer()
    const home = homeAt(whole)
    identity = await loadIdentity(home)
    await writeFile(home.configFile, JSON.stringify({ listen: ['/ip4/127.0.0.1/tcp/1'], heartbeatInterval: '5s', subnetId: 3 }))
    await writeFile(join(whole, 'repl_history'), 'peers\nsend-task bob --text x\n')
    await (await HomeLock.acquire(home)).release()
    const database = await openDatabase({ file: home.databaseFile }, HOME_MIGRATIONS)
    await new AddressBook(database).put(await signedEntry(peer, 1))
    database.close()
    const ledger = ledgerIn(whole)
    await ledger.publish(addresses(peer, 2))
    await ledger.close()
  })

  after(async () => folders.clean())

  function ledgerIn(folder: string): LedgerRegistry {
    return new LedgerRegistry({ file: join(folder, 'ledger.db'), subnetId: 1, privateKey: peer.privateKey, log })
  }

  /** The home as it was, but for one file. Not in turns: a hundred small waits cost more than all else. */
  function layOut(files: Map<string, Uint8Array>, name: string, damaged: Uint8Array): void {
    rmSync(path, { recursive: true, force: true })
    mkdirSync(path, { mode: 0o700 })
    for (const [other, bytes] of files) {
      writeFileSync(join(path, other), other === name ? damaged : bytes, { mode: 0o600 })
    }
  }

  /** Opens the file of this name after some of its bytes were changed: that works, or says what is wrong. */
  function damage(name: string, open: () => Promise<void>): void {
    it(`is healed, read as it is, or refused in words: ${name}`, async () => {
      const files = await filesIn(whole)
      const bytes = files.get(name) ?? assert.fail(`no ${name}`)
      await fuzz(mutated(bytes), { runs: RUNS, target: `files: ${name}` }, MIB, async (damaged) => {
        layOut(files, name, damaged)
        await open().catch(checkWords)
      })
    })
  }

  damage('identity.key', async () => {
    const { publicKey } = await loadIdentity(homeAt(path))
    assert.ok(publicKey.equals(identity.publicKey), 'the key of another peer')
  })

  damage('config.json', async () => {
    await loadSettings({ flags: {}, env: {}, home: homeAt(path) })
  })

  damage('repl_history', async () => {
    const history = await History.open(homeAt(path))
    history.add('status')
    await history.written()
    assert.equal(history.lines[0], 'status')
  })

  damage('node.lock', async () => {
    await (await HomeLock.acquire(homeAt(path))).release()
  })

  damage('node.db', async () => {
    const database = await openDatabase({ file: homeAt(path).databaseFile }, HOME_MIGRATIONS)
    try {
      const book = new AddressBook(database)
      book.list()
      await book.put(await signedEntry(peer, 2))
    } finally {
      database.close()
    }
  })

  damage('ledger.db', async () => {
    const ledger = ledgerIn(path)
    try {
      await ledger.list()
      await ledger.publish(addresses(peer, 1))
    } finally {
      await ledger.close()
    }
  })

  it('leaves nothing beside the files of the home', async () => {
    const known = /^(identity\.key|config\.json|repl_history|(node|ledger)\.(db|lock|pid)(-wal|-shm|-journal)?)$/
    assert.deepEqual(
      (await readdir(path)).filter((name) => !known.test(name)),
      [],
    )
  })
})

/** The files of a home that nobody has open. */
async function filesIn(folder: string): Promise<Map<string, Uint8Array>> {
  const names = (await readdir(folder)).filter((name) => !/-(wal|shm)$/.test(name))
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)))
}

/** Words for a user, or SQLite's own, which whoever opened the database makes words of. */
function checkWords(error: unknown): void {
  const known = error instanceof SubnetError || sqliteCode(error) != null
  assert.ok(known, error instanceof Error ? error.stack : String(error))
  if (error instanceof SubnetError) {
    assert.notEqual(error.code, 'INTERNAL')
    assert.doesNotMatch(error.message, /\n|node_modules|this is a bug/)
  }
}
