import assert from 'node:assert/strict'
import { stripVTControlCharacters } from 'node:util'
import { EventFeed } from '../../../src/cli/repl/event-feed.ts'
import type { NodeEvent } from '../../../src/session/session.ts'
import { OTHER_PEER_ID, PEER_ID } from '../../support/seeds.ts'

const WINDOW_MS = 6_000
const PEER = `${PEER_ID.slice(0, 8)}…${PEER_ID.slice(-6)}`

describe('the events above the prompt of a shell', () => {
  let lines: string[]
  let muted: boolean
  let nowMs: number
  let due: Array<{ atMs: number; call: () => void }>
  let feed: EventFeed

  beforeEach(() => {
    ;[lines, muted, nowMs, due] = [[], false, new Date(2026, 10, 29, 15, 4, 5).getTime(), []]
    feed = new EventFeed({
      tell: (line) => lines.push(stripVTControlCharacters(line)),
      isMuted: () => muted,
      now: () => nowMs,
      later: (call, ms) => due.push({ atMs: nowMs + ms, call }),
    })
  })

  function pass(ms: number): void {
    nowMs += ms
    for (const timer of due.filter(({ atMs }) => atMs <= nowMs)) {
      due.splice(due.indexOf(timer), 1)
      timer.call()
    }
  }

  const task = (fields: object = {}): void =>
    feed.take({ event: 'task', atMs: nowMs, taskId: 'a', peerId: PEER_ID, accepted: true, ms: 3, ...fields } as unknown as NodeEvent)
  const peer = (event: string, peerId = PEER_ID): void =>
    feed.take({ event, atMs: nowMs, peerId, multiaddr: '/ip4/127.0.0.1/tcp/1', direction: 'inbound' } as unknown as NodeEvent)

  it('carry the time of the clock', () => {
    task()
    assert.deepEqual(lines, [`15:04:05 task a of ${PEER}: accepted in 3.0 ms`])
  })

  it('are summed up early where there are very many: no more than 10,000 are held', () => {
    for (let count = 0; count < 20_010; count++) {
      task()
    }
    assert.deepEqual(
      lines.slice(5).map((line) => /\d+ tasks/.exec(line)?.[0]),
      ['10000 tasks', '10000 tasks'],
    )
  })

  it('are shown one by one while a person can read them, and summed up when they come faster', () => {
    for (let count = 0; count < 317; count++) {
      task()
    }
    assert.equal(lines.length, 5)
    pass(WINDOW_MS)
    assert.deepEqual(lines.slice(5), [`15:04:11 312 tasks of ${PEER} in 6 s, all accepted`])
    for (let count = 0; count < 40; count++) {
      task()
    }
    assert.equal(lines.length, 6, 'while they come fast there are sums alone')
    pass(WINDOW_MS)
    assert.equal(lines.at(-1), `15:04:17 40 tasks of ${PEER} in 6 s, all accepted`)
    pass(WINDOW_MS)
    task()
    assert.equal(lines.at(-1), `15:04:23 task a of ${PEER}: accepted in 3.0 ms`)
  })

  it('say of many what differs among them', () => {
    for (let count = 0; count < 8; count++) {
      task()
    }
    task({ peerId: OTHER_PEER_ID, accepted: false, reason: 'HANDLER_FAILED', detail: 'no\nspace' })
    for (const _ of [1, 2, 3, 4, 5, 6, 7]) {
      peer('peer:connect')
      peer('peer:disconnect', _ === 7 ? OTHER_PEER_ID : PEER_ID)
    }
    pass(WINDOW_MS)
    assert.deepEqual(lines.slice(-3), [
      '15:04:11 4 tasks of 2 peers in 6 s, 3 accepted, 1 rejected, the last one: HANDLER_FAILED, no space',
      `15:04:11 peer ${PEER} connected 2 times in 6 s`,
      '15:04:11 2 peers disconnected in 6 s',
    ])
  })

  it('are summed up before the node stops, and not shown while they are muted', () => {
    for (let count = 0; count < 6; count++) {
      task()
    }
    pass(2_000)
    feed.take({ event: 'stopping', atMs: nowMs } as NodeEvent)
    assert.deepEqual(lines.slice(-2), [`15:04:07 1 task of ${PEER} in 2 s, all accepted`, '15:04:07 stopping'])
    const told = lines.length
    task()
    muted = true
    task()
    pass(WINDOW_MS)
    assert.equal(lines.length, told)
  })
})
