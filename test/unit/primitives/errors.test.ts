import assert from 'node:assert/strict'
import { describeError, textOf, UsageError } from '../../../src/primitives/errors.ts'

/** What V8 throws when this runs. */
function thrownBy(fault: () => unknown): Error {
  try {
    fault()
  } catch (error) {
    return error as Error
  }
  throw new assert.AssertionError({ message: 'nothing thrown' })
}

const nothing = undefined as unknown as { a: { b: unknown } } & Array<string> & (() => void)

describe('the text of an error', () => {
  const faults: Array<() => unknown> = [
    () => nothing.a,
    () => {
      nothing.a = { b: 1 }
    },
    () => nothing(),
    () => [...(5 as unknown as string[])],
    () => {
      const [a] = nothing
      return a
    },
    () => new (5 as unknown as new () => object)(),
    () => new Uint8Array(-1),
    () => new Uint8Array(new ArrayBuffer(8), 9),
    () => Object.keys(nothing),
    () => BigInt(1.5),
    () => 'x'.repeat(2 ** 30),
    () => {
      const recurse = (): number => recurse() + 1
      return recurse()
    },
  ]
  for (const fault of faults) {
    const error = thrownBy(fault)
    it(`is not "${error.message}"`, () => {
      assert.equal(describeError(error), 'an unexpected fault')
      assert.equal(describeError(new Error(`handshake: ${error.message}`)), 'an unexpected fault', 'a library may have wrapped it')
      assert.equal(describeError(new AggregateError([error, new Error('refused')])), 'an unexpected fault; refused')
      assert.equal(textOf(error), error.message.replace(/\s*\n\s*/g, ' '))
    })
  }

  for (const text of [
    'connect ECONNREFUSED 127.0.0.1:1',
    'premature EOF',
    'The encoded data was not valid for encoding utf-8',
    'Unexpected token } in JSON at position 3',
    'a prompt is not a text',
    'cannot be read',
    'the peer is not registered',
  ]) {
    it(`stays what it is: "${text}"`, () => {
      assert.equal(describeError(new Error(text)), text)
      assert.equal(describeError(new TypeError(text)), text)
    })
  }

  it('stays what it is where it was written here', () => {
    const error = new UsageError('handler x.js cannot be loaded: y is not defined')
    assert.equal(describeError(error), error.message)
  })
})
