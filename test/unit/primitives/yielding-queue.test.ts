import assert from 'node:assert/strict'
import { YieldingQueue } from '../../../src/primitives/yielding-queue.ts'

describe('a queue that yields to the event loop', () => {
  /** In which turn of the event loop each of three pieces ran that were asked for at once. */
  async function turnsOf(queue: YieldingQueue): Promise<number[]> {
    let turn = 0
    const count = (): void => {
      turn++
      immediate = setImmediate(count)
    }
    let immediate = setImmediate(count)
    const turns: number[] = []
    await Promise.all([1, 2, 3].map(async () => queue.next().then(() => turns.push(turn))))
    clearImmediate(immediate)
    return turns
  }

  it('lets short pieces follow each other', async () => {
    const [first = 0, ...others] = await turnsOf(new YieldingQueue({ sliceMs: 10_000 }))
    assert.deepEqual(others, [first, first])
  })

  it('gives each piece a turn of its own where it is told so', async () => {
    const [first = 0, ...others] = await turnsOf(new YieldingQueue({ sliceMs: 0 }))
    assert.deepEqual(others, [first + 1, first + 2])
  })
})
