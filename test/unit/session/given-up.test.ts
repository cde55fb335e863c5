import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describeStatus } from '../../../src/cli/text/status-text.ts'
import type { TaskEvent } from '../../../src/protocol/builtin/task.ts'
import type { RejectionReason } from '../../../src/protocol/builtin/task-rejection.ts'
import { Activity } from '../../../src/session/activity.ts'
import type { ActivityAnswer, StatusAnswer } from '../../../src/session/answers.ts'
import { TaskCounts } from '../../../src/session/task-counts.ts'
import { PEER_ID } from '../../support/seeds.ts'

const NOTHING_SENT = { sent: 0, sentAccepted: 0, sentRejected: 0, sentFailed: 0 }

describe('tasks that their callers gave up', () => {
  let counts: TaskCounts
  let activity: Activity
  let node: EventEmitter

  beforeEach(() => {
    node = Object.assign(new EventEmitter(), { aliases: { byPeer: () => new Map() }, connections: [], tasks: { handling: 0, waiting: 0 } })
    counts = new TaskCounts()
    activity = new Activity(node as never)
    node.on('task', (task) => counts.count(task))
  })

  function reject(reason: RejectionReason, times = 1): void {
    for (let number = 0; number < times; number++) {
      const task: TaskEvent = { taskId: `${reason} ${number}`, peerId: PEER_ID, accepted: false, ms: 1, reason, detail: 'why' }
      node.emit('task', task)
    }
  }

  const told = (): ActivityAnswer => activity.answer(5, NOTHING_SENT)

  function status(): string {
    const tasks = { ...counts.state, ...NOTHING_SENT, running: 0, queued: 0 }
    const status = {
      tasks,
      peerId: PEER_ID,
      home: '/home',
      problems: [],
      notices: [],
      multiaddrs: [],
      reachability: { addresses: [] },
      portMapping: { status: 'off', mappings: [] },
      connections: {},
      places: { full: [] },
      heartbeats: {},
      book: {},
      chain: { url: 'ledger:', endpoint: 'ledger:' },
    } as unknown as StatusAnswer
    return describeStatus(status)
  }

  it('are counted apart from rejections', () => {
    reject('exit-code', 5)
    reject('abandoned', 16)
    assert.deepEqual([counts.state.rejected, told().inbound.rejected, told().inbound.givenUp], [21, 21, 16])
    assert.match(status(), /^tasks +0 accepted, 5 rejected, 16 given up by their callers, 0 running, 0 of them waiting$/m)
    assert.match(status(), /^rejected +5 exit-code$/m)
  })

  it('do not displace rejections, neither what is kept nor what is shown', () => {
    reject('exit-code', 3)
    reject('abandoned', 50)
    const isRejection = ({ reason }: { reason: string }): boolean => reason === 'exit-code'
    assert.deepEqual([counts.state.lastRejections.length, counts.state.lastRejections.filter(isRejection).length], [8, 3])
    assert.deepEqual([told().failures.length, told().failures.filter(isRejection).length], [32, 3])
    assert.equal(counts.state.lastRejections[0]?.reason, 'abandoned')
    const shown = status().match(/ago, task .*/g) ?? []
    assert.equal(shown.length, 3)
    assert.ok(shown.every((line) => line.startsWith('ago, task exit-code')))
    reject('queue-full', 8)
    assert.deepEqual(new Set(counts.state.lastRejections.map(({ reason }) => reason)), new Set(['queue-full']))
  })

  it('are not mentioned where there are none', () => {
    reject('limit')
    assert.match(status(), /^tasks +0 accepted, 1 rejected, 0 running, 0 of them waiting$/m)
  })
})
