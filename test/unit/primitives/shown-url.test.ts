import assert from 'node:assert/strict'
import { shownUrl, withoutSecretsOf, withShownUrls } from '../../../src/primitives/shown-url.ts'

const URL_WITH_ALL = 'wss://us%20er:pass:word@node.example.org:9944/v2/path-key/?apikey=query-key&bare-key'

describe('a URL that is shown', () => {
  it('has its scheme, host and port, and nothing else', () => {
    assert.equal(shownUrl(URL_WITH_ALL), 'wss://node.example.org:9944')
    assert.equal(shownUrl('ws://127.0.0.1:9944/'), 'ws://127.0.0.1:9944')
    assert.equal(shownUrl('wss://[::1]/rpc'), 'wss://[::1]')
  })

  it('is cut down within a text, and marked where it had more', () => {
    assert.equal(withShownUrls(`cannot use "${URL_WITH_ALL}", try ws://a:1`), 'cannot use "wss://node.example.org:9944/…", try ws://a:1')
    assert.equal(withShownUrls('https://example.org/key'), 'https://example.org/…')
    assert.equal(withShownUrls('wss://user:key@/'), 'wss://…')
    assert.equal(withShownUrls('hypertensor:wss://a/key,wss://b/key'), 'hypertensor:wss://a/…')
    assert.equal(withShownUrls('no URL at all'), 'no URL at all')
  })

  const echoes = [
    `unauthorized: ${URL_WITH_ALL}`,
    'GET /v2/path-key/?apikey=query-key&bare-key HTTP/1.1',
    'no such path: /v2/path-key/',
    'no such key: path-key',
    'query-key is over its quota',
    '{"apikey":"query-key","bare-key":""}',
    'bare-key',
    'user us er, password pass:word',
    'us%20er:pass%3Aword',
    `Authorization: Basic ${Buffer.from('us er:pass:word').toString('base64')}`,
  ]
  for (const text of echoes) {
    it(`leaves nothing of its secrets where another program repeats them: ${text}`, () => {
      const shown = withoutSecretsOf(URL_WITH_ALL, text)
      assert.doesNotMatch(shown, /path-key|query-key|bare-key|pass(:|%3A)word|us( |%20)er|dXMgZXI6/)
      assert.match(shown, /…/)
    })
  }

  it('leaves a text alone that repeats nothing of it', () => {
    assert.equal(withoutSecretsOf('ws://127.0.0.1:9944', 'connect ECONNREFUSED 127.0.0.1:9944'), 'connect ECONNREFUSED 127.0.0.1:9944')
    assert.equal(withoutSecretsOf('wss://a/v1/ws', 'the ws of v1'), 'the ws of v1')
  })
})
