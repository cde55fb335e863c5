import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SubnetNode, TaskEvent } from '../../../src/index.ts'
import { loadHandler } from '../../../src/node/handlers/task-handlers.ts'
import { REJECTION_REASONS, type RejectionReason } from '../../../src/protocol/builtin/task-rejection.ts'
import { addressOf, event, Lab } from '../../support/nodes.ts'
import { ToldLog } from '../../support/told-log.ts'

const OPTIONS = { timeoutMs: 20_000, maxOutputBytes: 1_000 }
/** Calls of one peer to another at a time. */
const MAX_CALLS = 128
/** Tasks that wait for a child process. */
const MAX_WAITING = 256

type Handler = Awaited<ReturnType<typeof loadHandler>>

interface Row {
  /** What a handler is loaded of; without it there is none. */
  spec?: string
  timeoutMs?: number
  settings?: (caller: SubnetNode) => object
  payload?: Uint8Array
  /** What the caller is told. */
  error: RegExp
  /** What the node tells its owner. */
  detail: RegExp
  /** What the caller's call fails with, where it has no answer. */
  code?: string
}

/** One rejection of each reason that a task through the front door can meet. */
const rows: Array<[RejectionReason, Row]> = [
  ['no-handler', { error: /^this node has no task handler$/, detail: /^this node has no task handler$/ }],
  [
    'handler-missing',
    { spec: 'exec:/no/such/program', error: /^the task handler cannot be run$/, detail: /\/no\/such\/program.*not installed/ },
  ],
  ['exit-code', { spec: 'sh:echo one >&2; echo two >&2; exit 3', error: /exited with 3: one two$/, detail: /^exited with 3: two$/ }],
  ['killed', { spec: 'sh:kill -KILL $$', error: /was ended by SIGKILL$/, detail: /^was ended by SIGKILL$/ }],
  ['timeout', { spec: 'exec:sleep 100', timeoutMs: 100, error: /ran longer than 100 ms/, detail: /ran longer than 100 ms/ }],
  ['limit', { spec: 'exec:head -c 2000 /dev/zero', error: /more than 1000 bytes/, detail: /more than 1000 bytes/ }],
  ['handler-failed', { spec: 'module', error: /^out of paint$/, detail: /^out of paint$/ }],
  [
    'not-admitted',
    {
      spec: 'echo',
      settings: ({ peerId }) => ({ denyPeers: [peerId.toString()] }),
      error: /^this node does not take requests of /,
      detail: /^this node does not take requests of /,
    },
  ],
  [
    'limit',
    {
      spec: 'module',
      settings: () => ({ maxFrameBytes: 20_000 }),
      payload: new Uint8Array(30_000),
      error: /accepts no frame larger than 20000 bytes|reset|limit/,
      detail: /30\d{3} bytes.*20000/,
      code: 'LIMIT_EXCEEDED',
    },
  ],
]

async function handlerOf(spec: string | undefined, file: string, timeoutMs: number): Promise<{ handler?: Handler }> {
  return spec == null ? {} : { handler: await loadHandler(spec === 'module' ? file : spec, { ...OPTIONS, timeoutMs }) }
}

describe('a task that is rejected has its reason on both sides:', function () {
  this.timeout(30_000)
  const lab = new Lab()

  after(async () => lab.clean())

  for (const [reason, { spec, timeoutMs = OPTIONS.timeoutMs, settings, payload = new Uint8Array(1), error, detail, code }] of rows) {
    it(`${reason}${code == null ? '' : `, ${code}`}`, async () => {
      const told = new ToldLog('info')
      const caller = await lab.node()
      const file = join(await lab.folder(), 'handler.ts')
      await writeFile(file, `export default () => { throw new Error('out of paint') }`)
      const node = await lab.node({ log: told.log, ...(await handlerOf(spec, file, timeoutMs)), settings: settings?.(caller) ?? {} })
      const telling = event(node, 'task')
      const answer = await caller.tasks.sendTask(addressOf(node), 'paint', payload).catch((failure) => failure)
      const task = (await telling) as TaskEvent
      // with an answer, or with the failure of the call
      assert.deepEqual([answer.accepted, answer.code], code == null ? [false, undefined] : [undefined, code])
      assert.match((answer.error ?? answer.message).replaceAll('\n', ' '), error)
      assert.equal(task.accepted, false)
      assert.equal(task.reason, reason)
      assert.match(task.detail ?? '', detail)
      assert.equal(task.peerId, caller.peerId.toString())
      const line = await told.first({ message: 'a task was rejected', level: 'info' })
      assert.equal(line['rejection'], reason)
      assert.match(line.reason ?? '', detail)
    })
  }

  it('queue-full', async () => {
    const callers = await Promise.all([lab.node(), lab.node(), lab.node()])
    const node = await lab.node({ handler: await loadHandler('exec:sleep 1000', { ...OPTIONS, concurrency: 1 }) })
    const telling = event(node, 'task')
    const over = new AbortController()
    const send = async (caller: SubnetNode): Promise<string> =>
      (await caller.tasks.sendTask(addressOf(node), 'wait', new Uint8Array(1), { signal: over.signal })).error
    // one runs, and one is too many
    const tasks = Array.from({ length: 1 + MAX_WAITING + 1 }, async (_, index) =>
      send(callers[Math.floor(index / MAX_CALLS)] as SubnetNode),
    )
    const [task, error] = await Promise.all([telling, Promise.any(tasks)])
    assert.match(error, /^busy: 1 tasks run and 256 wait already$/)
    assert.deepEqual([task.accepted, task.reason, task.detail], [false, 'queue-full', error])
    over.abort(new Error('the test is over'))
    await Promise.allSettled(tasks)
  })

  it('abandoned', async () => {
    const caller = await lab.node()
    const node = await lab.node({ handler: await loadHandler('exec:sleep 1000', OPTIONS) })
    const telling = event(node, 'task')
    await assert.rejects(caller.tasks.sendTask(addressOf(node), 'wait', new Uint8Array(1), { timeoutMs: 1_000 }), { code: 'TIMEOUT' })
    const { accepted, reason } = await telling
    assert.deepEqual([accepted, reason], [false, 'abandoned'])
  })

  it('with as many lines of the log a second as a person can read, whatever peers send', async () => {
    const told = new ToldLog('info')
    const [caller, node] = [await lab.node(), await lab.node({ log: told.log })]
    for (let sent = 0; sent < 60; sent++) {
      await caller.tasks.sendTask(addressOf(node), `task ${sent}`, new Uint8Array(1))
    }
    const lines = told.lines.filter(({ message }) => message === 'a task was rejected')
    assert.ok(lines.length >= 20 && lines.length < 50, `${lines.length} lines of 60`)
  })

  it('all reasons but those of an interceptor and of a task id that no honest caller sends are tried here', () => {
    const tried = [...rows.map(([reason]) => reason), 'queue-full', 'abandoned']
    assert.deepEqual(
      REJECTION_REASONS.filter((reason) => !tried.includes(reason)),
      // these are tried in test/unit/protocol
      ['refused', 'bad-request'],
    )
  })
})
