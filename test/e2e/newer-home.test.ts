import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EXIT_CODES } from '../../src/primitives/errors.ts'
import { Cli, jsonError } from '../support/cli.ts'
import { makeNewer, makeOldDatabase } from '../support/old-databases.ts'
import { OTHER_PEER_ID } from '../support/seeds.ts'

describe('a home of another version', function () {
  this.timeout(60_000)
  const cli = new Cli()

  after(async () => cli.clean())

  it('0.1.0 keeps its aliases and its ledger', async () => {
    const home = await cli.home()
    await makeOldDatabase(join(home, 'node.db'), 'node-0.1.0')
    await makeOldDatabase(join(home, 'ledger.db'), 'ledger-0.1.0')
    assert.deepEqual(await cli.json(home, ['alias', 'list']), [{ alias: 'bob', peerId: OTHER_PEER_ID }])
    const { multiaddrs } = await cli.json(home, ['chain', 'lookup', 'bob'])
    assert.deepEqual(multiaddrs, [`/ip4/203.0.113.7/tcp/4001/p2p/${OTHER_PEER_ID}`])
  })

  it('a newer one is refused in one line, and left as it is', async () => {
    const home = await cli.home()
    for (const [file, old, command, code] of [
      ['node.db', 'node-0.1.0', ['alias', 'list'], 'USAGE'],
      ['ledger.db', 'ledger-0.1.0', ['chain', 'lookup', OTHER_PEER_ID], 'CHAIN_UNAVAILABLE'],
    ] as const) {
      const path = join(home, file)
      await makeOldDatabase(path, old)
      makeNewer(path)
      const before = await readFile(path)
      const outcome = await cli.run(home, [...command, '--json'])
      const error = jsonError(outcome)
      assert.deepEqual([outcome.code, error.code, error.exit], [EXIT_CODES[code], code, EXIT_CODES[code]])
      assert.match(error.message, /has version 1000, and this program reads versions up to \d+: a newer program wrote the file$/)
      assert.match(error.hint ?? '', /^update subnet; /)
      assert.deepEqual(await readFile(path), before)
    }
  })
})
