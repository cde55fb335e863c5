import assert from 'node:assert/strict'
import { markedChain, shownChain } from '../../../src/node/home/shown-chain.ts'

const rows: Array<[url: string, shown: string, marked: string]> = [
  ['ledger:', 'ledger:', 'ledger:'],
  ['ledger:/tmp/a,b.db', 'ledger:/tmp/a,b.db', 'ledger:/tmp/a,b.db'],
  ['hypertensor:ws://127.0.0.1:9944', 'hypertensor:ws://127.0.0.1:9944', 'hypertensor:ws://127.0.0.1:9944'],
  [
    "hypertensor:wss://user:pa'ss@a.example/v1/key?k=v,wss://b.example:444",
    'hypertensor:wss://a.example,wss://b.example:444',
    'hypertensor:wss://a.example/…,wss://b.example:444',
  ],
  ['hypertensor:wss//a.example/key', 'hypertensor:…', 'hypertensor:…'],
  ['hypertensor:wss://user:key@', 'hypertensor:…', 'hypertensor:wss://…'],
  ['wss://a.example/key', '…', '…'],
]

describe("a chain's URL that is shown", () => {
  for (const [url, shown, marked] of rows) {
    it(`has no secret: ${url}`, () => {
      assert.equal(shownChain(url), shown)
      assert.equal(markedChain(url), marked)
    })
  }
})
