import assert from 'node:assert/strict'
import { ask, bothEnds, echo } from '../../support/pipelines.ts'
import { someBytes } from '../../support/streams.ts'

const KIB = 1024
const MIB = KIB * KIB

describe('calls on one stream', () => {
  it('answers a small call before a large one that was made earlier, and that one too', async () => {
    const { caller } = await bothEnds({ answerer: { answer: echo } })
    const order: string[] = []
    const [large, small] = [someBytes(4 * MIB, 1), someBytes(100, 2)]
    const [first, second] = await Promise.all([
      ask(caller, large).finally(() => order.push('large')),
      ask(caller, small).finally(() => order.push('small')),
    ])
    assert.deepEqual(order, ['small', 'large'])
    assert.ok(Buffer.from(first).equals(large))
    assert.ok(Buffer.from(second).equals(small))
  })
})
