import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { multiaddr } from '@multiformats/multiaddr'
import type { ProtocolError, SubnetNode } from '../../src/index.ts'
import { Lab } from '../support/nodes.ts'
import { digest, ending, failure } from './expectations.ts'
import type { ForeignPeer, Line } from './foreign-peer.ts'
import { RustLab } from './rust-peer.ts'

const KIB = 1_024
const MIB = KIB * KIB
const SIZES = [0, 1, 127, 128, 64 * KIB, MIB, 16 * MIB]
/** As a frame: a field that goes on after its end. */
const GARBAGE = '040a7f0000'

describe('a Rust peer that is asked', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const rust = new RustLab()
  let node: SubnetNode
  let peer: ForeignPeer

  before(async () => {
    node = await lab.node()
    peer = await rust.peer({ tasks: true })
  })

  after(async () => {
    await rust.clean()
    await lab.clean()
  })

  async function ask(taskId: string, payload: Uint8Array, timeoutMs = 10_000) {
    return node.tasks.sendTask(multiaddr(peer.address), taskId, payload, { timeoutMs })
  }

  async function serves(how: string, given: Line = {}): Promise<void> {
    await peer.do('serve', { how, ...given })
  }

  async function times(taskId: string): Promise<number> {
    return Number((await peer.do('seen', { taskId }))['times'])
  }

  /** A call that the peer saw once, and that is neither answered nor made again. */
  async function failsOnce(taskId: string): Promise<ProtocolError> {
    const error = await failure(ask(taskId, Buffer.from('x')))
    assert.deepEqual([error.code, error.mayHaveActed, await times(taskId)], ['REMOTE_FAILED', true, 1])
    return error
  }

  for (const [how, what] of [
    ['echo', 'as soon as it has the request'],
    ['readAll', 'once the caller has ended its side'],
  ] as const) {
    for (const size of SIZES) {
      it(`answers ${what}: ${size} bytes come and go unchanged`, async () => {
        await serves(how)
        const payload = randomBytes(size)
        const taskId = `${how} ${size}`
        const { accepted, result, error } = await ask(taskId, payload)
        assert.deepEqual({ accepted, error }, { accepted: true, error: '' })
        assert.ok(payload.equals(result))
        assert.deepEqual(await peer.event('request'), { event: 'request', taskId, ...digest(payload) })
      })
    }
  }

  it('answers byte by byte', async () => {
    await serves('bytewise')
    const payload = randomBytes(1_000)
    assert.ok(payload.equals((await ask('byte by byte', payload)).result))
  })

  it('answers before it has read the request', async () => {
    await serves('early')
    const { result } = await ask('early', randomBytes(MIB))
    assert.equal(Buffer.from(result).toString(), 'early')
  })

  it('says no, and why', async () => {
    await serves('reject')
    const { accepted, error, result } = await ask('a task', Buffer.from('x'))
    assert.deepEqual({ accepted, error, bytes: result.byteLength }, { accepted: false, error: 'nicht heute, größer', bytes: 0 })
  })

  it('closes without an answer', async () => {
    await serves('fail')
    assert.match((await failsOnce('closed')).message, /closed the stream without sending anything/)
  })

  it('drops the stream instead of an answer, which is a reset, or an end where we have ended our side', async () => {
    await serves('reset')
    await failsOnce('dropped')
  })

  it('answers with what is no message', async () => {
    await serves('frame', { frame: GARBAGE })
    await failsOnce('garbage')
  })

  it('answers with two messages, both at once: that is no answer', async () => {
    await serves('two')
    const error = await failure(ask('two', Buffer.from('x')))
    assert.deepEqual([error.code, error.mayHaveActed], ['REMOTE_FAILED', true])
    assert.match(error.message, /more than one message/)
  })

  it('answers with two messages, the second long after the first: the first is the answer', async () => {
    await serves('late')
    assert.equal(Buffer.from((await ask('late', Buffer.from('x'))).result).toString(), 'x')
    await peer.do('late', { taskId: 'late' })
    await serves('echo')
    assert.equal(Buffer.from((await ask('after', Buffer.from('y'))).result).toString(), 'y')
  })

  it('reads and never answers: the call ends at its deadline, and the peer is told', async () => {
    await serves('stall')
    const error = await failure(ask('stalled', randomBytes(MIB), 1_000))
    assert.deepEqual(ending(error), { code: 'TIMEOUT', phase: 'wait', mayHaveActed: true })
    await serves('echo')
    await peer.event('left')
  })

  it('never reads: the call ends at its deadline, while it sends', async () => {
    await serves('deaf')
    const error = await failure(ask('deaf', randomBytes(8 * MIB), 1_000))
    assert.deepEqual(ending(error), { code: 'TIMEOUT', phase: 'send', mayHaveActed: true })
    await peer.event('stream')
  })

  // libp2p-stream drops a stream that comes while nobody waits for it: that call fails, and the peer has not seen it
  for (const [count, atOnce, most] of [
    [64, 64, 64],
    [128, 128, 128],
    // fewer are asked at a time after a failure: the first of them lose some, not the most of all
    [640, 128, 320],
  ] as const) {
    it(`is asked ${count} things, ${atOnce} at a time: it sees none twice, and fewer than ${most} fail`, async () => {
      await serves('echo')
      const failures: string[] = []
      const ids = Array.from({ length: count }, (_, index) => `${index} of ${count}`)
      const waiting = [...ids]
      const caller = async (): Promise<void> => {
        for (let taskId = waiting.pop(); taskId != null; taskId = waiting.pop()) {
          const answer = await ask(taskId, Buffer.from(taskId)).catch((error: Error) => error)
          if (answer instanceof Error) {
            failures.push(answer.message)
            assert.equal((answer as ProtocolError).code, 'REMOTE_FAILED', answer.message)
          } else {
            assert.equal(Buffer.from(answer.result).toString(), taskId)
          }
        }
      }
      await Promise.all(Array.from({ length: atOnce }, caller))
      const seen = await Promise.all(ids.map(times))
      assert.ok(seen.every((often) => often <= 1))
      assert.equal(
        seen.reduce((sum, often) => sum + often),
        count - failures.length,
      )
      assert.ok(failures.length < most, `${failures.length} of ${count}: ${[...new Set(failures)].join('; ')}`)
      assert.equal(node.connections.length, 1)
    })
  }

  it('still answers after all that, on the connection that it has', async () => {
    await serves('echo')
    assert.equal(Buffer.from((await ask('the last', Buffer.from('still there'))).result).toString(), 'still there')
    assert.equal(node.connections.length, 1)
  })

  it('does not speak the protocol', async () => {
    const other = await rust.peer()
    const error = await failure(node.tasks.sendTask(multiaddr(other.address), 'a task', Buffer.from('x'), { timeoutMs: 10_000 }))
    assert.deepEqual([error.code, error.mayHaveActed], ['PROTOCOL_UNSUPPORTED', false])
  })
})
