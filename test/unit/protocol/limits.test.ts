import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { ByteBudget, DEFAULT_LIMITS, limitsOf, PeerShare } from '../../../src/protocol/api/limits.ts'
import { seeded } from '../../support/streams.ts'

/** Asks for bytes and notes the name when they are granted. */
function ask(budget: ByteBudget, granted: string[], name: string, bytes: number, signal?: AbortSignal): Promise<() => void> {
  return budget.acquire(bytes, signal == null ? {} : { signal }).then((release) => {
    granted.push(name)
    return release
  })
}

describe('ByteBudget', () => {
  it('grants what is free at once, and takes it back', async () => {
    const budget = new ByteBudget(100)
    const first = await budget.acquire(60)
    const second = await budget.acquire(40)
    assert.equal(budget.free, 0)
    first()
    assert.equal(budget.free, 60)
    second()
    assert.equal(budget.free, 100)
  })

  it('takes the same bytes back only once', async () => {
    const budget = new ByteBudget(100)
    const other = await budget.acquire(50)
    const release = await budget.acquire(50)
    release()
    release()
    assert.equal(budget.free, 50)
    other()
    assert.equal(budget.free, 100)
  })

  it('serves those who wait in their order: a small request does not pass a large one that came before', async () => {
    const budget = new ByteBudget(100)
    const granted: string[] = []
    const release = await budget.acquire(50)
    const large = ask(budget, granted, 'large', 80)
    const small = ask(budget, granted, 'small', 20)
    const last = ask(budget, granted, 'last', 20)
    await turn()
    assert.deepEqual(granted, [])
    release()
    const releaseLarge = await large
    await small
    assert.deepEqual(granted, ['large', 'small'])
    assert.equal(budget.free, 0)
    releaseLarge()
    await last
    assert.equal(budget.free, 60)
  })

  it('lets a single request have the whole budget, however much it asks for', async () => {
    const budget = new ByteBudget(100)
    const release = await budget.acquire(1_000_000)
    assert.equal(budget.free, 0)
    release()
    assert.equal(budget.free, 100)
  })

  it('lets who waits give up, and serves the next in line', async () => {
    const budget = new ByteBudget(100)
    const granted: string[] = []
    const controller = new AbortController()
    const release = await budget.acquire(50)
    const large = ask(budget, granted, 'large', 80, controller.signal)
    const small = ask(budget, granted, 'small', 20)
    controller.abort(new Error('enough'))
    await assert.rejects(large, /enough/)
    await small
    assert.deepEqual(granted, ['small'])
    assert.equal(budget.free, 30)
    release()
    assert.equal(budget.free, 80)
  })

  it('grants nothing to who gave up before asking', async () => {
    const budget = new ByteBudget(100)
    await assert.rejects(budget.acquire(10, { signal: AbortSignal.abort(new Error('enough')) }), /enough/)
    assert.equal(budget.free, 100)
  })

  it('loses nothing when a wait is granted and given up in the same turn, in either order', async () => {
    for (const order of ['grant first', 'abort first']) {
      const budget = new ByteBudget(100)
      const controller = new AbortController()
      const release = await budget.acquire(100)
      const waiting = budget.acquire(70, { signal: controller.signal })
      const acts = [release, () => controller.abort(new Error('enough'))]
      for (const act of order === 'grant first' ? acts : acts.reverse()) {
        act()
      }
      await waiting.then(
        (releaseWaiting) => releaseWaiting(),
        () => undefined,
      )
      assert.equal(budget.free, 100, order)
    }
  })

  it('never grants more than there is, and has all of it back in the end, whatever is asked, given up and released', async () => {
    const random = seeded(7)
    const budget = new ByteBudget(1_000)
    let held = 0
    let most = 0
    const one = async (): Promise<void> => {
      const controller = new AbortController()
      const bytes = Math.floor(random() * 400)
      const asked = budget.acquire(bytes, { signal: controller.signal })
      if (random() < 0.3) {
        await turn()
        controller.abort(new Error('enough'))
      }
      const release = await asked.catch(() => undefined)
      if (release == null) {
        return
      }
      held += bytes
      most = Math.max(most, held)
      for (let turns = random() * 5; turns > 0; turns--) {
        await turn()
      }
      held -= bytes
      release()
    }
    await Promise.all(Array.from({ length: 300 }, one))
    assert.ok(most > 500 && most <= 1_000, `${most} held at a time`)
    assert.equal(budget.free, 1_000)
  })
})

describe('PeerShare', () => {
  const limits = { ...DEFAULT_LIMITS, maxFrameBytes: 10, maxBytesInFlightPerPeer: 40 }

  it('makes a peer wait that has its share, and leaves the rest to others', async () => {
    const all = new ByteBudget(100)
    const greedy = new PeerShare(limits, all)
    const other = new PeerShare(limits, all)
    const release = await greedy.acquire(40)
    const waiting = greedy.acquire(10)
    await turn()
    assert.equal(all.free, 60)
    const releaseOther = await other.acquire(40)
    assert.equal(all.free, 20)
    release()
    release()
    const releaseWaiting = await waiting
    assert.equal(all.free, 50)
    releaseWaiting()
    releaseOther()
    assert.equal(all.free, 100)
  })

  it('waits for the bytes of all too, and gives its own back when it gives up', async () => {
    const all = new ByteBudget(100)
    const share = new PeerShare(limits, all)
    const release = await all.acquire(90)
    const controller = new AbortController()
    const given = share.acquire(40, { signal: controller.signal })
    await turn()
    controller.abort(new Error('enough'))
    await assert.rejects(given, /enough/)
    release()
    const again = await share.acquire(40)
    again()
    assert.equal(all.free, 100)
  })

  it('has room for one frame of any size that is allowed', async () => {
    const all = new ByteBudget(100)
    const release = await new PeerShare({ ...limits, maxFrameBytes: 80 }, all).acquire(80)
    assert.equal(all.free, 20)
    release()
  })
})

describe('the limits of a protocol', () => {
  it('are those of its node, and in place of them its own', () => {
    assert.deepEqual(limitsOf(DEFAULT_LIMITS), DEFAULT_LIMITS)
    assert.deepEqual(limitsOf(DEFAULT_LIMITS, { maxCallsPerPeer: 3 }), { ...DEFAULT_LIMITS, maxCallsPerPeer: 3 })
  })

  it('hold for messages in parts too where frames may have less than they usually do', () => {
    const streamed = (own: Parameters<typeof limitsOf>[1]): number => limitsOf(DEFAULT_LIMITS, own).maxStreamedBytes
    assert.equal(streamed({ maxFrameBytes: 4_096 }), 4_096)
    assert.equal(streamed({ maxFrameBytes: 128 * 1024 * 1024 }), 2 ** 31 - 1)
    assert.equal(streamed({ maxFrameBytes: 4_096, maxStreamedBytes: 1_000_000 }), 1_000_000)
  })
})
