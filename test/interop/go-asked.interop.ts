import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../src/index.ts'
import { Lab } from '../support/nodes.ts'
import { digest, ending, failure, streamsClosed } from './expectations.ts'
import type { ForeignPeer } from './foreign-peer.ts'
import { GoLab } from './go-peer.ts'

const KIB = 1_024
const MIB = KIB * KIB
const SIZES = [0, 1, 127, 128, 64 * KIB, MIB, 16 * MIB]
const ANSWERS = {
  echo: 'reads one message',
  all: 'reads to the end before it answers',
}

/** As a frame: its length, and what is no message. */
const GARBAGE = '03ffffff'
/** Two frames of `accepted: true`. */
const TWO = '020801020801'

describe('a Go peer that is asked', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const go = new GoLab()
  let node: SubnetNode
  let peer: ForeignPeer

  before(async () => {
    node = await lab.node()
    peer = await go.peer({ tasks: true })
  })

  after(async () => {
    await go.clean()
    await lab.clean()
  })

  async function ask(taskId: string, payload: Uint8Array, timeoutMs = 10_000) {
    return node.tasks.sendTask(multiaddr(peer.address), taskId, payload, { timeoutMs })
  }

  for (const [how, says] of Object.entries(ANSWERS)) {
    for (const size of SIZES) {
      it(`and ${says} gets a payload of ${size} bytes unchanged, and gives it back unchanged`, async () => {
        await peer.do('serve', { how })
        const payload = randomBytes(size)
        const taskId = `${size} bytes, ${how}`
        const { accepted, result, error } = await ask(taskId, payload)
        assert.deepEqual({ accepted, error }, { accepted: true, error: '' })
        assert.ok(payload.equals(result))
        const told = await peer.event('request', (request) => request['taskId'] === taskId)
        assert.deepEqual(told, { event: 'request', taskId, ...digest(payload) })
      })
    }
  }

  it('writes its answer byte by byte', async () => {
    await peer.do('serve', { how: 'bytes' })
    const payload = randomBytes(1_000)
    assert.ok(payload.equals((await ask('a task', payload)).result))
  })

  for (const size of [2 * KIB, 16 * MIB]) {
    it(`answers before a request of ${size} bytes has ended, and reads no more of it`, async () => {
      await peer.do('serve', { how: 'early' })
      const { accepted, result } = await ask('a task', randomBytes(size))
      assert.deepEqual([accepted, Buffer.from(result).toString()], [true, 'early'])
      await streamsClosed(node)
    })
  }

  it('says no, and why', async () => {
    await peer.do('serve', { how: 'reject' })
    const { accepted, error, result } = await ask('a task', Buffer.from('x'))
    assert.deepEqual({ accepted, error, bytes: result.byteLength }, { accepted: false, error: 'не сегодня', bytes: 0 })
  })

  it('closes without an answer', async () => {
    await peer.do('serve', { how: 'fail' })
    const error = await failure(ask('a task', Buffer.from('x')))
    assert.deepEqual(ending(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
    assert.match(error.message, /the peer closed the stream without sending anything/)
  })

  it('counts and then resets: it is called exactly once, and may have acted', async () => {
    await peer.do('serve', { how: 'reset' })
    const error = await failure(ask('a task', Buffer.from('x')))
    assert.deepEqual(ending(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
    assert.match(error.message, /reset/)
    assert.deepEqual(await peer.do('count'), { requests: 1 })
  })

  for (const size of [1, 16 * MIB]) {
    it(`counts and resets before it has read a request of ${size} bytes: it is called exactly once`, async () => {
      await peer.do('serve', { how: 'refuse' })
      const error = await failure(ask('a task', randomBytes(size)))
      assert.deepEqual([error.code, error.mayHaveActed], ['REMOTE_FAILED', true])
      assert.match(error.message, /reset/)
      assert.deepEqual(await peer.do('count'), { requests: 1 })
    })
  }

  it('answers with what is no message', async () => {
    await peer.do('serve', { how: 'frame', frame: GARBAGE })
    const error = await failure(ask('a task', Buffer.from('x')))
    assert.deepEqual([error.code, error.mayHaveActed], ['REMOTE_FAILED', true])
    assert.deepEqual(await peer.do('count'), { requests: 1 })
  })

  it('answers with two messages: that is no answer', async () => {
    await peer.do('serve', { how: 'frame', frame: TWO })
    const error = await failure(ask('a task', Buffer.from('x')))
    assert.deepEqual([error.code, error.mayHaveActed], ['REMOTE_FAILED', true])
    assert.match(error.message, /more than one message/)
    await streamsClosed(node)
  })

  it('reads and never answers: the call ends at its deadline, and the peer is told', async () => {
    await peer.do('serve', { how: 'stall' })
    const error = await failure(ask('a task', randomBytes(KIB), 1_000))
    assert.deepEqual(ending(error), { code: 'TIMEOUT', phase: 'wait', mayHaveActed: true })
    await peer.do('serve', { how: 'echo' })
    assert.equal((await peer.event('left'))['why'], 'StreamReset')
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
    assert.equal((await peer.event('left'))['why'], 'StreamReset')
  })

  it('still answers after all that, on the connection that it has', async () => {
    await peer.do('serve', { how: 'echo' })
    assert.equal(Buffer.from((await ask('the last', Buffer.from('still there'))).result).toString(), 'still there')
    assert.equal(node.connections.length, 1)
    await streamsClosed(node)
    assert.deepEqual(Object.keys(await peer.do('blocked')), [])
  })

  it('is killed while it is asked', async () => {
    const other = await go.peer({ tasks: true })
    await other.do('serve', { how: 'stall' })
    const call = failure(node.tasks.sendTask(multiaddr(other.address), 'a task', Buffer.from('x'), { timeoutMs: 30_000 }))
    await other.event('request')
    await other.kill()
    assert.deepEqual(ending(await call), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
  })

  it('does not speak the protocol', async () => {
    const other = await go.peer()
    const error = await failure(node.tasks.sendTask(multiaddr(other.address), 'a task', Buffer.from('x'), { timeoutMs: 30_000 }))
    assert.deepEqual([error.code, error.mayHaveActed], ['PROTOCOL_UNSUPPORTED', false])
  })
})
