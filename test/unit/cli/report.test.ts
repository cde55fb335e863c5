import assert from 'node:assert/strict'
import { toTaskJson } from '../../../src/cli/batch/task-json.ts'
import { textPayload } from '../../../src/cli/payload.ts'
import { parseCountFlag, parseDurationFlag } from '../../../src/cli/text/duration.ts'
import { reportOf } from '../../../src/cli/text/report.ts'
import { UsageError } from '../../../src/primitives/errors.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { ResolveError } from '../../../src/resolve/errors.ts'
import type { TaskAnswer } from '../../../src/session/answers.ts'

describe('the report of an error', () => {
  it('has the code, the exit code, the message on one line, and the hint if there is one', () => {
    assert.deepEqual(reportOf(new UsageError('a\n  b', { hint: 'do c' })), { code: 'USAGE', exit: 2, message: 'a b', hint: 'do c' })
    assert.deepEqual(reportOf(new ProtocolError('TASK_REJECTED', 'no')), { code: 'TASK_REJECTED', exit: 7, message: 'no' })
  })

  it('shows what was tried', () => {
    const attempts = [{ tier: 'gossip', outcome: 'miss', ms: 1, detail: 'not known' }] as const
    const { code, exit, attempts: shown } = reportOf(new ResolveError('PEER_NOT_FOUND', 'not found', [...attempts]))
    assert.deepEqual({ code, exit, shown }, { code: 'PEER_NOT_FOUND', exit: 3, shown: attempts })
  })

  it('knows a deadline, and calls the rest a bug', () => {
    assert.equal(reportOf(new DOMException('too late', 'TimeoutError')).exit, 6)
    for (const error of [new TypeError('x is not a function'), 'a text', undefined]) {
      const { code, exit, message } = reportOf(error)
      assert.deepEqual({ code, exit }, { code: 'INTERNAL', exit: 1 })
      assert.match(message, /^this is a bug: /)
    }
  })
})

describe('values of flags', () => {
  it('are read, or refused with the name of the flag', () => {
    assert.equal(parseDurationFlag('max-age', undefined), undefined)
    assert.equal(parseDurationFlag('max-age', '5s'), 5_000)
    assert.throws(() => parseDurationFlag('max-age', '5'), { message: /^--max-age: "5" is not valid; expected a duration like/ })
    assert.equal(parseCountFlag('count', undefined, 3), undefined)
    assert.equal(parseCountFlag('count', '3', 3), 3)
    for (const text of ['0', '4', '-1', '1.5', '', 'x', '0x1', '1e0']) {
      assert.throws(() => parseCountFlag('count', text, 3), { message: /^--count: .* expected a whole number from 1 to 3$/ })
    }
  })
})

describe("a task's answer in JSON", () => {
  const answer: TaskAnswer = {
    taskId: 'a',
    peerId: 'b',
    source: 'given',
    multiaddr: '/c',
    accepted: true,
    error: null,
    bytesSent: 1,
    bytesReceived: 2,
    attempts: [],
    timings: { resolveMs: 1, dialMs: 2, requestMs: 3, totalMs: 6 },
    result: textPayload(''),
  }

  it('has the result in base64, or the file that it went to, never both and never raw', async () => {
    const { result: _, ...rest } = answer
    const withResult = (): TaskAnswer => ({ ...answer, result: textPayload('\u0000ÿ') })
    assert.deepEqual(await toTaskJson(withResult(), undefined), { ...rest, resultBase64: 'AMO/' })
    assert.deepEqual(await toTaskJson(withResult(), '-'), { ...rest, resultBase64: 'AMO/' })
    assert.deepEqual(await toTaskJson(withResult(), 'file'), { ...rest, output: 'file' })
  })
})
