import assert from 'node:assert/strict'
import { LimitError, ProtocolError } from '../../../../src/protocol/api/errors.ts'
import { NotTakenError } from '../../../../src/protocol/api/not-taken-error.ts'
import { CallState } from '../../../../src/protocol/carrier/kept/call-state.ts'
import { type Frame, Reset } from '../../../../src/protocol/carrier/kept/pipelined-frame.ts'
import { bytesOf, framesIn } from '../../../support/pipelines.ts'

const where = (): string => 'half-way'

function resetOf(reset: Reset): Frame {
  return framesIn(bytesOf({ call: 1, reset, length: 5 }))[0] ?? assert.fail()
}

/** Code, phase and message of the error that a caller gets for a reset. */
function verdictOf(state: CallState, reset: Reset): unknown {
  const { code, phase, message } = state.reasonOf(resetOf(reset)) as ProtocolError
  return [code, phase, message]
}

describe('the state of a call', () => {
  it('allows reading and writing until the call has ended, on either side', () => {
    for (const end of [(state: CallState) => state.endByPeer(), (state: CallState) => state.end(undefined)]) {
      const state = new CallState(true)
      state.checkReadable(where)
      state.checkWritable()
      assert.deepEqual([state.isOver, state.isEnded, state.isWellEnded], [false, false, false])
      end(state)
      assert.equal(state.isEnded, true)
      assert.throws(() => state.checkReadable(where), { code: 'REMOTE_FAILED', message: 'the peer ended the call half-way' })
      assert.throws(() => state.checkWritable(), { code: 'REMOTE_FAILED', message: 'the call ended before everything was sent' })
    }
  })

  it('has ended well where the peer ended it and nothing failed', () => {
    const state = new CallState(true)
    state.endByPeer()
    assert.deepEqual([state.isWellEnded, state.isOver], [true, false])
    state.end(new Error('the caller gave up'))
    assert.deepEqual([state.isWellEnded, state.isOver], [false, true])
  })

  it('gives the first failure to whoever reads or writes: what callers know as it is, anything else as a broken stream', () => {
    for (const reason of [new ProtocolError('TIMEOUT', 'too late'), new NotTakenError('goodbye', 'not taken')]) {
      const state = new CallState(true)
      state.end(reason)
      state.end(new Error('another'))
      assert.throws(() => state.checkReadable(where), reason)
      assert.throws(() => state.checkWritable(), reason)
    }
    const state = new CallState(true)
    state.end(new Error('the cable was cut'))
    assert.throws(() => state.checkReadable(where), { code: 'REMOTE_FAILED', message: 'the stream broke half-way' })
    assert.throws(() => state.checkWritable(), { code: 'REMOTE_FAILED', message: 'the stream broke while this node was sending' })
  })

  it('is heard once the peer said anything of the call', () => {
    const state = new CallState(true)
    assert.equal(state.isHeard, false)
    state.hear()
    assert.equal(state.isHeard, true)
  })

  it('tells a refusal from a request that failed: the peer refuses only what it has not acted on', () => {
    const fresh = new CallState(true)
    assert.deepEqual(verdictOf(fresh, Reset.TOO_LARGE), ['LIMIT_EXCEEDED', 'send', 'the peer accepts no frame larger than 5 bytes'])
    assert.deepEqual(verdictOf(fresh, Reset.TOO_MANY), ['LIMIT_EXCEEDED', 'send', 'the peer handles no more than 5 requests at a time'])
    assert.deepEqual(verdictOf(fresh, Reset.FAILED), ['REMOTE_FAILED', undefined, 'the peer ended the call without an answer'])
    const answered = new CallState(true)
    answered.answer()
    for (const reset of [Reset.TOO_LARGE, Reset.TOO_MANY]) {
      assert.deepEqual(verdictOf(answered, reset), ['REMOTE_FAILED', undefined, 'the peer ended the call without an answer'])
    }
  })

  it('says of a request whose size the peer did not know which limit it met, and that a part may have been acted on', () => {
    const state = new CallState(true)
    state.sendOpen()
    state.answer()
    assert.deepEqual(verdictOf(state, Reset.TOO_LARGE), ['LIMIT_EXCEEDED', undefined, 'the peer accepts no frame larger than 5 bytes'])
    assert.deepEqual(verdictOf(state, Reset.TOO_MANY), ['LIMIT_EXCEEDED', 'send', 'the peer handles no more than 5 requests at a time'])
  })

  it('resets a call as what it is: given up by its caller; too large, too many, or failed on the other side', () => {
    const tooLarge = new LimitError('frame bytes', 5, 'too large')
    const tooMany = new LimitError('requests', 7, 'too many')
    assert.deepEqual(new CallState(true).resetFor(tooLarge), { reset: Reset.CANCELLED })
    const answering = new CallState(false)
    assert.deepEqual(answering.resetFor(tooLarge), { reset: Reset.TOO_LARGE, length: 5 })
    assert.deepEqual(answering.resetFor(tooMany), { reset: Reset.TOO_MANY, length: 7 })
    assert.deepEqual(answering.resetFor(new Error('the handler failed')), { reset: Reset.FAILED })
    assert.equal(answering.reasonOf(resetOf(Reset.CANCELLED)).message, 'the caller wants no more answers')
  })
})
