import assert from 'node:assert/strict'
import { nameOf, parseEndpoints } from '../../../../src/chain/hypertensor/endpoints.ts'

describe('the endpoints of a chain', () => {
  it('are ws and wss URLs, in the order in which they are given, none twice', () => {
    assert.deepEqual(parseEndpoints('ws://127.0.0.1:9944,wss://node.example.org/rpc,ws://127.0.0.1:9944'), [
      'ws://127.0.0.1:9944/',
      'wss://node.example.org/rpc',
    ])
  })

  it('are refused where they are anything else', () => {
    const refused = ['', ',', 'ws://a,', 'http://a:1', 'ws:a', 'ws://', 'ws://a:99999', 'ws://a#b', ' ws://a', 'ws://a b', '127.0.0.1:9944']
    for (const text of refused) {
      assert.throws(() => parseEndpoints(text), { code: 'USAGE', hint: /hypertensor:ws:\/\/host:9944/ }, JSON.stringify(text))
    }
    const many = Array.from({ length: 9 }, (_, index) => `ws://h${index}`).join(',')
    assert.throws(() => parseEndpoints(many), { message: '9 endpoints are over the limit of 8' })
  })

  it('are not repeated where they are refused: a misspelled URL may hold a key too', () => {
    for (const text of ['htps://node.example.org/secret-key', 'wss//user:secret-key@node', 'wss://node.example.org/…/secret-key']) {
      assert.throws(
        () => parseEndpoints(text),
        ({ message, hint }: Error & { hint: string }) => !/secret-key|node/.test(message) && !/secret-key/.test(hint),
      )
    }
  })

  it('are refused as they are shown, with what to do', () => {
    assert.throws(() => parseEndpoints('wss://node.example.org/…'), { message: /replaces secrets/, hint: /config\.json/ })
  })

  it('are named without what is secret in them', () => {
    assert.equal(nameOf('wss://user:secret@node.example.org/rpc?key=secret'), 'wss://node.example.org')
    assert.equal(nameOf('ws://127.0.0.1:9944/'), 'ws://127.0.0.1:9944')
  })
})
