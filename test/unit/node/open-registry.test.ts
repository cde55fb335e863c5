import assert from 'node:assert/strict'
import { homeAt } from '../../../src/node/home/home.ts'
import { openRegistry } from '../../../src/node/open-registry.ts'
import { createLogger } from '../../../src/observe/logger.ts'
import { newPeer } from '../../support/keys.ts'

describe('the addresses that a chain names', () => {
  for (const [chain, source] of [
    ['ledger:', 'trusted'],
    ['ledger:/tmp/shared.db', 'trusted'],
    ['hypertensor:ws://127.0.0.1:9944', 'loopback'],
    ['hypertensor:ws://localhost:9944,ws://[::1]:9944', 'loopback'],
    ['hypertensor:ws://10.0.0.7:9944,ws://127.0.0.1:9944', 'private'],
    ['hypertensor:ws://127.0.0.1:9944,wss://chain.example', 'stranger'],
    ['hypertensor:ws://45.79.0.1:9944', 'stranger'],
    ['hypertensor:wss://chain.example', 'stranger'],
  ] as const) {
    it(`count as named ${source === 'stranger' ? 'by a stranger' : `over ${source}`} with ${chain}`, async () => {
      const { privateKey } = await newPeer()
      const log = createLogger('silent', () => undefined)
      const registry = await openRegistry({ home: homeAt('/tmp/never-made'), settings: { chain, subnetId: 1 }, privateKey, log })
      assert.equal(registry.namedOver, source)
      await registry.close()
    })
  }
})
