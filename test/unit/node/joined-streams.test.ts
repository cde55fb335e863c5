import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { joinStreams } from '../../../src/node/stack/joined-streams.ts'
import { someBytes, TestStream } from '../../support/streams.ts'

const BOUNDS = { bytes: 1_000, durationMs: 60_000 }

describe('two streams that are joined', () => {
  let one: TestStream
  let other: TestStream

  beforeEach(() => {
    one = new TestStream('inbound')
    other = new TestStream('outbound')
  })

  afterEach(() => {
    one.abort(new Error('the test is over'))
    other.abort(new Error('the test is over'))
  })

  it('carry what comes on the one to the other, both ways', () => {
    joinStreams(one, other, BOUNDS)
    one.receive(Buffer.from('there'))
    other.receive(Buffer.from('back'))
    assert.deepEqual([other.output.toString(), one.output.toString()], ['there', 'back'])
  })

  it('take no more from the one while the other takes nothing', () => {
    joinStreams(one, other, BOUNDS)
    other.shutWindow(10)
    const bytes = someBytes(200)
    one.receive([bytes.subarray(0, 100), bytes.subarray(100)])
    assert.deepEqual([one.readStatus, one.readBufferLength], ['paused', 100])
    other.openWindow()
    assert.deepEqual([one.readStatus, other.output.equals(bytes)], ['readable', true])
  })

  it('close the one behind the last byte of the other, though it takes its time', async () => {
    joinStreams(one, other, BOUNDS)
    other.shutWindow(10)
    one.receive([someBytes(50), someBytes(50)])
    one.onRemoteCloseWrite()
    assert.equal(other.writeStatus, 'writable')
    other.openWindow()
    await turn()
    assert.deepEqual([other.output.length, other.writeStatus], [100, 'closed'])
  })

  it('are both reset when the one is', () => {
    joinStreams(one, other, BOUNDS)
    one.onRemoteReset()
    assert.equal(other.status, 'aborted')
  })

  it('are both reset once more bytes came than they may carry together', () => {
    joinStreams(one, other, BOUNDS)
    one.receive(someBytes(600))
    other.receive(someBytes(400))
    assert.deepEqual([one.status, other.status], ['open', 'open'])
    other.receive(someBytes(1))
    assert.deepEqual([one.status, other.status, one.output.length], ['aborted', 'aborted', 400])
  })

  it('are both reset when their time is over', async () => {
    joinStreams(one, other, { ...BOUNDS, durationMs: 1 })
    await new Promise((resolve) => other.addEventListener('close', resolve))
    assert.deepEqual([one.status, other.status], ['aborted', 'aborted'])
  })
})
