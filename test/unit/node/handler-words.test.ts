import assert from 'node:assert/strict'
import { inItsOwnWords } from '../../../src/node/handler-words.ts'
import { describeError } from '../../../src/primitives/errors.ts'
import type { StreamingTaskHandler, TaskHandler } from '../../../src/protocol/protocols/task.ts'

const TASK = { taskId: 'a', payload: new Uint8Array(1) } as unknown as Parameters<TaskHandler>[0] &
  Parameters<StreamingTaskHandler['stream']>[0]
const CONTEXT = {} as unknown as Parameters<TaskHandler>[1]
const nothing = undefined as unknown as { model: Uint8Array }

describe('a task handler', () => {
  for (const [title, handler] of [
    ['of whole payloads', () => nothing.model],
    ['of whole payloads that waits', async () => nothing.model],
    ['that streams', { stream: () => nothing.model as unknown as ReturnType<StreamingTaskHandler['stream']> }],
  ] as const) {
    it(`${title} has its faults told with every word`, async () => {
      const told = inItsOwnWords(handler)
      const run = async (): Promise<unknown> => (typeof told === 'function' ? told(TASK, CONTEXT) : told.stream(TASK, CONTEXT))
      await assert.rejects(run, (error) => {
        assert.equal(describeError(error), "Cannot read properties of undefined (reading 'model')")
        return true
      })
    })
  }

  it('fails with what it threw itself', async () => {
    const refusal = new Error('no')
    const told = inItsOwnWords(() => {
      throw refusal
    })
    assert.ok(typeof told === 'function')
    await assert.rejects(async () => told(TASK, CONTEXT), refusal)
  })
})
