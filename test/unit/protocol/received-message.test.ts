import assert from 'node:assert/strict'
import { ByteBudget } from '../../../src/protocol/api/limits.ts'
import { ReceivedMessage, type ReceivedMessageInit } from '../../../src/protocol/message/received-message.ts'
import { eventually } from '../../support/protocol-host.ts'
import { someBytes } from '../../support/streams.ts'

const KIB = 1024
const MIB = KIB * KIB
const CAPACITY = 64 * MIB

describe('a message that is used while it comes', () => {
  let budget: ByteBudget

  beforeEach(() => {
    budget = new ByteBudget(CAPACITY)
  })

  async function message(
    chunks: Uint8Array[],
    init: Partial<ReceivedMessageInit> & { size: number | undefined },
  ): Promise<ReceivedMessage> {
    const left = [...chunks]
    return ReceivedMessage.begin({ next: async () => left.shift(), acquire: async (bytes) => budget.acquire(bytes), ...init })
  }

  it('gives its body once, by chunks or by next, and knows when all of it was taken', async () => {
    for (const size of [30, undefined]) {
      const incoming = await message([someBytes(10), someBytes(20)], { size, head: someBytes(5), field: 2 })
      assert.deepEqual([incoming.head.byteLength, incoming.field, incoming.body.size], [5, 2, size])
      assert.equal((await incoming.next())?.byteLength, 10)
      assert.equal(incoming.ended, false)
      assert.equal(Buffer.concat(await Array.fromAsync(incoming.body.chunks)).byteLength, 20)
      assert.deepEqual([incoming.ended, incoming.takenBytes, await incoming.next()], [true, 35, undefined])
    }
    assert.equal((await message([], { size: 0 })).ended, true)
  })

  it('gives each of several that ask at once other bytes', async () => {
    const incoming = await message([someBytes(1), someBytes(2), someBytes(3)], { size: 6 })
    const all = await Promise.all([incoming.next(), incoming.next(), incoming.next(), incoming.next()])
    assert.deepEqual(
      all.map((bytes) => bytes?.byteLength),
      [1, 2, 3, undefined],
    )
  })

  it('has a share of at most 1 MiB from its beginning, of all of it where it is kept, and gives it back', async () => {
    const incoming = await message([], { size: 5 * MIB })
    assert.equal(budget.free, CAPACITY - MIB)
    await incoming.hold()
    assert.equal(budget.free, CAPACITY - 5 * MIB)
    await incoming.hold()
    assert.equal(budget.free, CAPACITY - 5 * MIB)
    incoming.release()
    assert.equal(budget.free, CAPACITY)
  })

  it('has no share where its size is not known, until more than 64 KiB of it were taken', async () => {
    let shares = 0
    const incoming = await message([someBytes(64 * KIB - 5), someBytes(1), someBytes(MIB)], {
      size: undefined,
      head: someBytes(5),
      onShare: () => shares++,
    })
    await incoming.next()
    assert.deepEqual([budget.free, shares], [CAPACITY, 0])
    await incoming.next()
    await eventually(() => shares === 1, 'it has a share')
    assert.equal(budget.free, CAPACITY - MIB)
    await incoming.hold(10 * MIB)
    assert.deepEqual([budget.free, shares], [CAPACITY - 10 * MIB, 1])
    incoming.release(3 * MIB)
    assert.equal(budget.free, CAPACITY - 3 * MIB)
    incoming.release()
    assert.equal(budget.free, CAPACITY)
  })

  it('waits for its larger share without the smaller one, and gives it back at once where it was released meanwhile', async () => {
    const incoming = await message([], { size: 5 * MIB })
    const others = await budget.acquire(CAPACITY - MIB)
    const holding = incoming.hold()
    await eventually(() => budget.free === MIB, 'its share is given back')
    incoming.release()
    others()
    await holding
    assert.equal(budget.free, CAPACITY)
  })
})
