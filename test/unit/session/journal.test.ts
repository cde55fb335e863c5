import assert from 'node:assert/strict'
import { asStartPrints, EVENT_CHOICES, EVENT_TYPES } from '../../../src/session/event-types.ts'
import { Journal } from '../../../src/session/journal.ts'
import type { EventsOptions, NodeEvent } from '../../../src/session/session.ts'

const KEPT = 10_000

/** What a reader gets who reads all that there is, and no more. */
async function read(journal: Journal, options: EventsOptions = {}): Promise<NodeEvent[]> {
  const following = journal.follow({ sinceMs: 60_000, ...options, signal: AbortSignal.abort() })
  return (await Array.fromAsync(following)).flat()
}

function tell(journal: Journal, count: number, about: object = {}): void {
  for (let number = 0; number < count; number++) {
    journal.tell('task', { number, ...about })
  }
}

describe('the journal of a node', () => {
  it('keeps the last 10,000 events, in their order', async () => {
    const journal = new Journal()
    tell(journal, KEPT + 25)
    const numbers = (await read(journal)).map(({ number }) => number)
    assert.deepEqual(
      numbers,
      Array.from({ length: KEPT }, (_, index) => index + 25),
    )
  })

  it('keeps fewer of long texts, and of each text the beginning', async () => {
    const journal = new Journal()
    tell(journal, KEPT, { detail: 'x'.repeat(100_000), attempts: [{ detail: 'y'.repeat(900) }] })
    const events = await read(journal)
    assert.ok(events.length > 3_000 && events.length < 5_000, `${events.length} events`)
    assert.ok(events.every(({ detail }) => String(detail).length === 1_025))
    assert.equal(events.at(-1)?.['number'], KEPT - 1)
  })

  it('gives those of the last milliseconds only, and of the types that were asked for', async () => {
    const journal = new Journal()
    for (const type of EVENT_TYPES) {
      journal.tell(type, {})
    }
    const types = async (...wanted: string[]): Promise<string[]> => (await read(journal, { types: wanted })).map(({ event }) => event)
    assert.deepEqual(await types(), [...EVENT_TYPES])
    assert.deepEqual(await types('task'), ['task', 'task:sent', 'missed'])
    assert.deepEqual(await types('task:sent', 'peer'), ['peer:connect', 'peer:disconnect', 'task:sent', 'missed'])
    assert.deepEqual(await read(journal, { sinceMs: -1 }), [])
    assert.ok(EVENT_CHOICES.includes('peer') && EVENT_CHOICES.includes('problem:begin'))
  })

  it('tells a reader that is too slow how many events are gone, and goes on with the oldest that is kept', async () => {
    const journal = new Journal()
    const following = journal.follow({})
    tell(journal, 3)
    assert.deepEqual(
      (await following.next()).value.map(({ number }: NodeEvent) => number),
      [0, 1, 2],
    )
    tell(journal, KEPT + 7)
    const { value } = await following.next()
    assert.deepEqual({ event: value[0].event, count: value[0].count }, { event: 'missed', count: 7 })
    assert.equal(value[1].number, 7)
    await following.return(undefined)
  })

  it('tells events that come together at once, each reader at its own pace, from when it began to follow', async () => {
    const journal = new Journal()
    tell(journal, 5)
    const [one, two] = [journal.follow({}), journal.follow({ types: ['task'] })]
    const first = one.next()
    journal.tell('task', { number: 'a' })
    journal.tell('task', { number: 'b' })
    assert.deepEqual(
      (await first).value.map(({ number }: NodeEvent) => number),
      ['a', 'b'],
    )
    journal.tell('heartbeat', {})
    journal.tell('task', { number: 'c' })
    assert.deepEqual(
      (await two.next()).value.map(({ number }: NodeEvent) => number),
      ['a', 'b', 'c'],
    )
    await Promise.all([one.return(undefined), two.return(undefined)])
  })

  it('ends a reader with its signal, behind what is left to read', async () => {
    const journal = new Journal()
    const over = new AbortController()
    const following = Array.fromAsync(journal.follow({ signal: over.signal }))
    journal.tell('stopping', {})
    over.abort()
    assert.deepEqual(
      (await following).flat().map(({ event }) => event),
      ['stopping'],
    )
  })

  it('gives the first listener what was told before it, and no other', () => {
    const journal = new Journal()
    const [first, second]: [NodeEvent[], NodeEvent[]] = [[], []]
    tell(journal, 2)
    journal.on((event) => first.push(event))
    journal.on((event) => second.push(event))
    tell(journal, 1)
    assert.deepEqual([first.length, second.length], [3, 1])
  })

  it('has for "start" the shapes that scripts know', () => {
    const task = {
      event: 'task',
      atMs: 1,
      taskId: 'a',
      peerId: 'b',
      accepted: false,
      ms: 2,
      payloadBytes: 3,
      resultBytes: 4,
      reason: 'limit',
    }
    assert.deepEqual(asStartPrints(task), { event: 'task', atMs: 1, taskId: 'a', peerId: 'b', accepted: false, ms: 2, reason: 'limit' })
    assert.equal(asStartPrints({ event: 'task:sent', atMs: 1 }), undefined)
  })
})
