import assert from 'node:assert/strict'
import { chmod, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { peerIdFromString } from '@libp2p/peer-id'
import { LedgerRegistry } from '../../../src/chain/drivers/ledger.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { asAnyUser } from '../../support/any-user.ts'
import { newPeer, type TestPeer } from '../../support/keys.ts'
import { makeNewer, makeOldDatabase, versionIn } from '../../support/old-databases.ts'
import { OTHER_PEER_ID, PEER_ID } from '../../support/seeds.ts'
import { TempFolders } from '../../support/temp.ts'

const OLD_ADDRESSES = {
  [PEER_ID]: [`/ip4/203.0.113.8/tcp/4001/p2p/${PEER_ID}`],
  [OTHER_PEER_ID]: [`/ip4/203.0.113.7/tcp/4001/p2p/${OTHER_PEER_ID}`],
}

describe('a ledger of another version', () => {
  const folders = new TempFolders()
  let folder: string
  let file: string
  let peer: TestPeer
  let ledger: LedgerRegistry
  let logged: string[]

  beforeEach(async () => {
    folder = await folders.make()
    file = join(folder, 'ledger.db')
    peer = await newPeer()
    logged = []
    await makeOldDatabase(file, 'ledger-0.1.0')
    ledger = open()
  })

  afterEach(async () => {
    await ledger.close()
    await folders.clean()
  })

  function open(): LedgerRegistry {
    const log = createLogger('warn', (line) => logged.push(line))
    return new LedgerRegistry({ file, subnetId: 1, privateKey: peer.privateKey, log })
  }

  async function addressesIn(registry: LedgerRegistry): Promise<Record<string, string[]>> {
    const { records } = await registry.list()
    return Object.fromEntries(records.map(({ peerId, multiaddrs }) => [peerId.toString(), multiaddrs.map(String)]))
  }

  it('0.1.0 is read as it is, and gets a version with the first that is written', async () => {
    assert.deepEqual(await addressesIn(ledger), OLD_ADDRESSES)
    assert.equal((await ledger.isRegistered(peerIdFromString(PEER_ID), 'validator')).registered, true)
    assert.equal(versionIn(file), 0)
    const { block } = await ledger.publish([peer.at(1)])
    assert.equal(block, 4)
    assert.equal(versionIn(file), 1)
    assert.deepEqual(await addressesIn(ledger), { ...OLD_ADDRESSES, [peer.peerId.toString()]: [peer.at(1).toString()] })
    assert.deepEqual(logged, [])
  })

  it('0.1.0 that may only be read is read', async () => {
    await Promise.all([chmod(file, 0o444), chmod(folder, 0o755)])
    const files = await readdir(folder)
    await asAnyUser(async () => {
      assert.deepEqual(await addressesIn(ledger), OLD_ADDRESSES)
      await assert.rejects(ledger.publish([peer.at(1)]), { code: 'CHAIN_UNAVAILABLE', hint: /must be writable/ })
    })
    assert.deepEqual(await readdir(folder), files)
  })

  it('a newer one is left as it is, with one line that says so', async () => {
    makeNewer(file)
    const before = await readFile(file)
    const refused = {
      code: 'CHAIN_UNAVAILABLE',
      message: /^ledger \S+ has version 1000, and this program reads versions up to \d+: a newer program wrote the file$/,
      hint: /^update subnet; name another ledger with --chain ledger:\S+$/,
    }
    await assert.rejects(ledger.list(), refused)
    await assert.rejects(ledger.publish([peer.at(1)]), refused)
    assert.match(ledger.state().lastError ?? '', /has version 1000/)
    assert.deepEqual(await readFile(file), before)
    assert.deepEqual(await readdir(folder), ['ledger.db'])
  })

  it('a newer one is refused also where it became one while it was open', async () => {
    await ledger.publish([peer.at(1)])
    makeNewer(file)
    await assert.rejects(ledger.list(), { code: 'CHAIN_UNAVAILABLE', message: /has version 1000/ })
    await assert.rejects(ledger.publish([peer.at(2)]), { code: 'CHAIN_UNAVAILABLE', message: /has version 1000/ })
  })

  it('one whose tables are not those of its version is no ledger', async () => {
    const writer = new DatabaseSync(file)
    writer.exec('DROP TABLE registration; PRAGMA user_version = 1')
    writer.close()
    await assert.rejects(ledger.list(), { code: 'CHAIN_UNAVAILABLE', message: /not a ledger/ })
  })
})
