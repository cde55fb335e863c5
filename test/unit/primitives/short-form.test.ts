import assert from 'node:assert/strict'
import { fitsShortForm, lengthOfShortForm, readShortForm } from '../../../src/primitives/short-form.ts'
import { OTHER_PEER_ID, PEER_ID } from '../../support/seeds.ts'

describe('a short form of a peer ID', () => {
  it('is its beginning, its end, or both with an ellipsis between', () => {
    for (const text of [PEER_ID.slice(0, 12), PEER_ID.slice(-6), `12D3KooW…${PEER_ID.slice(-6)}`, `12D3KooW...${PEER_ID.slice(-6)}`]) {
      const readings = readShortForm(text)
      assert.ok(fitsShortForm(PEER_ID, readings), text)
      assert.ok(!fitsShortForm(OTHER_PEER_ID, readings), text)
    }
    assert.ok(fitsShortForm(PEER_ID, readShortForm(`${PEER_ID.slice(0, 20)}…`)))
    assert.ok(fitsShortForm(PEER_ID, readShortForm(`…${PEER_ID.slice(-6)}`)))
  })

  it('is none where it is too short, or has characters that no peer ID has', () => {
    for (const text of [
      '',
      'bob',
      '…',
      PEER_ID.slice(0, 5),
      PEER_ID.slice(-5),
      '12D3KooW…',
      '12D3KooWMwW…6Cb',
      'server-one',
      'O0Il00',
      'a…b…cdefgh',
      'six*ix',
    ]) {
      assert.deepEqual(readShortForm(text), [], text)
    }
    // a beginning of under 12 characters is an end, if anything
    assert.deepEqual(readShortForm('12D3KooW'), [{ starts: '', ends: '12D3KooW' }])
  })

  it('never fits an ID that is shorter than it tells', () => {
    const both = `${PEER_ID.slice(0, 30)}…${PEER_ID.slice(-30)}`
    assert.ok(!fitsShortForm(PEER_ID, readShortForm(both)))
  })

  it('is as long as what it tells', () => {
    assert.equal(lengthOfShortForm('12D3KooW…TWyqP6'), 14)
    assert.equal(lengthOfShortForm('12D3KooW...TWyqP6'), 14)
    assert.equal(lengthOfShortForm('TWyqP6'), 6)
  })
})
