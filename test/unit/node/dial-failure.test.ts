import assert from 'node:assert/strict'
import { DialError, explainDial, type Seen } from '../../../src/node/dial/dial-failure.ts'

const HEADER = '\x13/multistream/1.0.0\n'
const SECURITY = ['/noise', '/pos-transport/1.0.0']

function seen(bytes: string, secured?: string): Seen {
  return { connected: true, bytes: Buffer.from(bytes), secured, security: SECURITY, muxers: ['/yamux/1.0.0'] }
}

describe('what is told of a dial', () => {
  const ended = new Error('the socket was closed')

  for (const [name, bytes, text] of [
    ['both', '\x03na\n\x03na\n', 'the peer refused /noise and /pos-transport/1.0.0: this node offers no other security protocol'],
    ['the first, and ended the connection', '\x03na\n', 'the peer refused /noise: this node also offers /pos-transport/1.0.0'],
  ] as const) {
    it(`names the security protocols that the peer refused: ${name}`, () => {
      const failure = explainDial(ended, seen(HEADER + bytes), undefined)
      assert.deepEqual([failure.kind, failure.message], ['security', text])
    })
  }

  it('is no refusal of /noise where the peer then took the other protocol', () => {
    const bytes = `${HEADER}\x03na\n\x15/pos-transport/1.0.0\n`
    assert.equal(explainDial(ended, seen(bytes), undefined).kind, 'closed')
  })

  for (const text of ['Unexpected EOF', 'read ECONNRESET', 'the stream was closed', '[object Event]']) {
    it(`is NOT_ADMITTED where a node of the template ends the connection after the handshake: ${text}`, () => {
      const failure = explainDial(new Error(text), seen(HEADER, SECURITY[1]), undefined)
      assert.equal(failure.kind, 'not admitted')
      assert.equal(new DialError([failure]).verdict, 'NOT_ADMITTED')
    })
  }

  it('is no such verdict with plain Noise, nor where the peer sent something that cannot be read', () => {
    assert.equal(explainDial(new Error('Unexpected EOF'), seen(HEADER, SECURITY[0]), undefined).kind, 'closed')
    for (const text of ['Error: Invalid chacha20poly1305 decryption', 'InvalidMessageError: Missing newline']) {
      const failure = explainDial(new Error(text), seen(HEADER, SECURITY[1]), undefined)
      assert.equal(failure.kind, 'handshake')
      assert.equal(new DialError([failure]).verdict, undefined)
    }
  })

  it('says that a node of the template is still asking its chain, where the dial was given up', () => {
    const failure = explainDial(ended, seen(HEADER, SECURITY[1]), new Error('no answer within 5000 ms'))
    assert.match(failure.message, /did not say whether it admits this node: no answer within 5000 ms$/)
    const { hint, verdict } = new DialError([failure])
    assert.match(hint ?? '', /checking this node on its chain/)
    assert.equal(verdict, undefined)
  })
})
