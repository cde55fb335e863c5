import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode, Task, TaskHandler } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { type Answer, digest, ending, failure, streamsClosed, taskStreams } from './expectations.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { PythonLab } from './python-peer.ts'

const KIB = 1_024
const MIB = KIB * KIB
const SIZES = [0, 1, 127, 128, 64 * KIB, MIB, 8 * MIB]

describe('a Python peer that is asked', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const python = new PythonLab()
  let node: SubnetNode
  let peer: ForeignPeer

  before(async () => {
    node = await lab.node()
    peer = await python.peer({ tasks: true })
  })

  after(async () => {
    await python.clean()
    await lab.clean()
  })

  async function ask(taskId: string, payload: Uint8Array, timeoutMs = 30_000) {
    return node.tasks.sendTask(multiaddr(peer.address), taskId, payload, { timeoutMs })
  }

  for (const size of SIZES) {
    it(`gets a payload of ${size} bytes unchanged, and gives it back unchanged`, async () => {
      await peer.do('serve', { how: 'echo' })
      const payload = randomBytes(size)
      const { accepted, result, error } = await ask(`${size} bytes`, payload)
      assert.deepEqual({ accepted, error }, { accepted: true, error: '' })
      assert.ok(payload.equals(result))
      assert.deepEqual(await peer.event('request'), { event: 'request', taskId: `${size} bytes`, ...digest(payload) })
    })
  }

  it('is asked 50 things at once, and answers each', async () => {
    await peer.do('serve', { how: 'echo' })
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const payload = randomBytes(index * 100)
        assert.ok(payload.equals((await ask(`${index} of 50`, payload)).result))
        await peer.event('request', ({ taskId }) => taskId === `${index} of 50`)
      }),
    )
    assert.equal(node.connections.length, 1)
  })

  it('says no, and why', async () => {
    await peer.do('serve', { how: 'reject' })
    const { accepted, error, result } = await ask('a task', Buffer.from('x'))
    assert.deepEqual({ accepted, error, bytes: result.byteLength }, { accepted: false, error: 'не сегодня', bytes: 0 })
  })

  it('closes without an answer, as it does when its handler fails', async () => {
    await peer.do('serve', { how: 'fail' })
    const error = await failure(ask('a task', Buffer.from('x')))
    assert.deepEqual(ending(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
    assert.match(error.message, /the peer closed the stream without sending anything/)
  })

  it('resets the stream instead of an answer', async () => {
    await peer.do('serve', { how: 'reset' })
    const error = await failure(ask('a task', Buffer.from('x')))
    assert.deepEqual(ending(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
  })

  it('reads and never answers: the call ends at its deadline, and the peer is told', async () => {
    await peer.do('serve', { how: 'stall' })
    const error = await failure(ask('a task', randomBytes(MIB), 1_000))
    assert.deepEqual(ending(error), { code: 'TIMEOUT', phase: 'wait', mayHaveActed: true })
    await peer.do('serve', { how: 'echo' })
    await peer.event('left')
  })

  it('never reads: the call ends at its deadline, while it sends', async () => {
    await peer.do('serve', { how: 'deaf' })
    const error = await failure(ask('a task', randomBytes(8 * MIB), 1_000))
    assert.deepEqual(ending(error), { code: 'TIMEOUT', phase: 'send', mayHaveActed: true })
    await peer.event('stream')
    await streamsClosed(node)
  })

  it('is told when the caller gives up', async () => {
    await peer.do('serve', { how: 'stall' })
    const controller = new AbortController()
    const call = node.tasks.sendTask(multiaddr(peer.address), 'given up', Buffer.from('x'), { signal: controller.signal })
    await peer.event('request', ({ taskId }) => taskId === 'given up')
    const reason = new Error('enough')
    controller.abort(reason)
    await assert.rejects(call, (error) => error === reason)
    await peer.do('serve', { how: 'echo' })
    await peer.event('left')
  })

  it('still answers after all that, on the connection that it has', async () => {
    await peer.do('serve', { how: 'echo' })
    assert.equal(Buffer.from((await ask('the last', Buffer.from('still there'))).result).toString(), 'still there')
    assert.equal(node.connections.length, 1)
    await streamsClosed(node)
  })

  it('is killed while it is asked', async () => {
    const other = await python.peer({ tasks: true })
    await other.do('serve', { how: 'stall' })
    const call = failure(node.tasks.sendTask(multiaddr(other.address), 'a task', Buffer.from('x'), { timeoutMs: 30_000 }))
    await other.event('request')
    await other.kill()
    const error = await call
    assert.deepEqual(ending(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
  })

  it('does not speak the protocol', async () => {
    const other = await python.peer()
    const error = await failure(node.tasks.sendTask(multiaddr(other.address), 'a task', Buffer.from('x'), { timeoutMs: 30_000 }))
    assert.deepEqual({ code: error.code, phase: error.phase }, { code: 'PROTOCOL_UNSUPPORTED', phase: 'negotiate' })
  })
})

describe('a Python peer that asks', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const python = new PythonLab()
  let node: SubnetNode
  let me: string
  let peer: ForeignPeer
  let handler: TaskHandler

  before(async () => {
    node = await lab.node({ handler: (task, context) => handler(task, context) })
    me = node.peerId.toString()
    peer = await python.peer()
    await peer.do('dial', { address: addressOf(node) })
  })

  beforeEach(() => {
    handler = ({ payload }) => payload
  })

  after(async () => {
    await python.clean()
    await lab.clean()
  })

  for (const size of SIZES) {
    it(`has a payload of ${size} bytes arrive unchanged, and gets it back unchanged`, async () => {
      let task: Task | undefined
      handler = (received) => {
        task = received
        return received.payload
      }
      const answer = await peer.do<Answer>('call', { peer: me, taskId: `${size} bytes`, size })
      assert.equal(answer.sent.bytes, size)
      assert.deepEqual(answer, { sent: answer.sent, accepted: true, error: '', result: answer.sent })
      assert.equal(task?.taskId, `${size} bytes`)
      assert.deepEqual(digest(task.payload), answer.sent)
    })
  }

  it('asks 50 things at once, and gets each answer', async () => {
    const sizes = Array.from({ length: 50 }, (_, index) => index * 100)
    const answers = await Promise.all(sizes.map(async (size) => peer.do<Answer>('call', { peer: me, taskId: 'one of 50', size })))
    assert.deepEqual(
      answers.map(({ result }) => result),
      answers.map(({ sent }) => sent),
    )
    assert.equal(node.connections.length, 1)
  })

  it('is told why its task was rejected', async () => {
    handler = () => {
      throw new Error('zu groß für heute')
    }
    const { accepted, error, result } = await peer.do<Answer>('call', { peer: me, taskId: 'a task', size: 10 })
    assert.deepEqual({ accepted, error, bytes: result.bytes }, { accepted: false, error: 'zu groß für heute', bytes: 0 })
  })

  it('is told that a task id has control characters', async () => {
    const { accepted, error } = await peer.do<Answer>('call', { peer: me, taskId: 'two\nlines' })
    assert.deepEqual({ accepted, error }, { accepted: false, error: 'a task id is at most 256 bytes, without control characters' })
  })

  /** Has this peer ask and leave in its own way while the handler runs, and waits until all is as before. */
  async function left(asking: ForeignPeer, leave: () => Promise<unknown>): Promise<void> {
    await streamsClosed(node)
    const running = Promise.withResolvers<AbortSignal>()
    handler = async (_task, { signal }) => {
      running.resolve(signal)
      return new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    const answered = event(node, 'task', ({ peerId }) => peerId === asking.peerId)
    await asking.do('ask', { peer: me, taskId: 'left alone' })
    const signal = await running.promise
    assert.equal(node.tasks.handling, 1)
    assert.equal(taskStreams(node).length, 1)
    const closed = streamsClosed(node)
    await leave()
    await answered
    await closed
    await turn()
    assert.equal(signal.aborted, true)
    assert.equal(node.tasks.handling, 0)
  }

  it('resets its stream in the middle of a call: the handler is told, and nothing is left of it', async () => {
    await left(peer, async () => peer.do('reset', { taskId: 'left alone' }))
    handler = ({ payload }) => payload
    assert.equal((await peer.do<Answer>('call', { peer: me, taskId: 'the next', size: 1 })).accepted, true)
  })

  it('disconnects in the middle of a call: the handler is told, and nothing is left of it', async () => {
    const other = await python.peer()
    await other.do('dial', { address: addressOf(node) })
    const gone = event(node, 'peer:disconnect', ({ peerId }) => peerId === other.peerId)
    await left(other, async () => other.do('leave', { peer: me }))
    await gone
  })

  it('is killed in the middle of a call: the handler is told, and nothing is left of it', async () => {
    const other = await python.peer()
    await other.do('dial', { address: addressOf(node) })
    const gone = event(node, 'peer:disconnect', ({ peerId }) => peerId === other.peerId)
    await left(other, async () => other.kill())
    await gone
  })
})
