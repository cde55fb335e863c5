import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import type { SubnetNode, Task, TaskHandler } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { type Answer, digest } from './expectations.ts'
import { type ForeignPeer, type Line, PeerFailure } from './foreign-peer.ts'
import { RustLab, type RustPeerInit } from './rust-peer.ts'

const KIB = 1_024
const MIB = KIB * KIB
const SIZES = [0, 1, 127, 128, 64 * KIB, MIB, 16 * MIB]
const AT_ONCE = [64, 128]
/** A request without payload, as a frame, and a second one. */
const FRAME = '050a036f6e65'
const SECOND_FRAME = '050a0374776f'
/** As a frame: a field that goes on after its end. */
const GARBAGE = '040a7f0000'

/** What a Rust caller may do: as the crates have it, and with its first bytes sent together with the protocol's id. */
const CALLERS: Array<[string, Partial<RustPeerInit>]> = [
  ['that waits until the protocol is agreed', {}],
  ['that sends its request together with the protocol', { lazy: true }],
]

for (const [which, init] of CALLERS) {
  describe(`a Rust peer ${which}, and asks`, function () {
    this.timeout(60_000)
    const lab = new Lab()
    const rust = new RustLab()
    let node: SubnetNode
    let me: string
    let peer: ForeignPeer
    let handler: TaskHandler

    before(async () => {
      node = await lab.node({ handler: (task, context) => handler(task, context) })
      me = node.peerId.toString()
      peer = await rust.peer(init)
      await peer.do('dial', { address: addressOf(node) })
    })

    beforeEach(() => {
      handler = ({ payload }) => payload
    })

    after(async () => {
      await rust.clean()
      await lab.clean()
    })

    async function call(given: Line): Promise<Answer> {
      return peer.do<Answer>('call', { peer: me, taskId: 'a task', ...given })
    }

    for (const halfClose of [true, false]) {
      const ends = halfClose ? 'ends its side with the request' : 'keeps its side open until it has the answer'
      for (const size of SIZES) {
        it(`and ${ends}: ${size} bytes come and go unchanged, and the stream ends`, async () => {
          let task: Task | undefined
          handler = (received) => {
            task = received
            return received.payload
          }
          const answer = await call({ taskId: `${size} bytes`, size, halfClose })
          assert.equal(answer.sent.bytes, size)
          assert.deepEqual(answer, { sent: answer.sent, accepted: true, error: '', result: answer.sent })
          assert.equal(task?.taskId, `${size} bytes`)
          assert.deepEqual(digest(task.payload), answer.sent)
        })
      }

      it(`byte by byte, and ${ends}`, async () => {
        const { accepted, sent, result } = await call({ size: 1_000, bytewise: true, halfClose })
        assert.deepEqual({ accepted, result }, { accepted: true, result: sent })
      })

      for (const count of AT_ONCE) {
        it(`${count} things at once, and ${ends}: each is answered`, async () => {
          assert.deepEqual(await peer.do('many', { peer: me, count, halfClose }), { accepted: count, failures: {} })
          assert.equal(node.connections.length, 1)
        })
      }

      it(`and ${ends}, and is told why its task was rejected`, async () => {
        handler = () => {
          throw new Error('zu groß für heute')
        }
        const { accepted, error, result } = await call({ size: 10, halfClose })
        assert.deepEqual({ accepted, error, bytes: result.bytes }, { accepted: false, error: 'zu groß für heute', bytes: 0 })
      })
    }

    it('with an answer that comes before all of the request was sent', async () => {
      handler = () => {
        throw new Error('seen enough')
      }
      const { accepted, error } = await call({ size: 16 * MIB, halfClose: true })
      assert.deepEqual({ accepted, error }, { accepted: false, error: 'seen enough' })
    })

    /** Has it send these bytes, and then more or the end of its side; what it reads ends without an answer. */
    async function refused(first: string, second?: string): Promise<void> {
      const taskId = 'refused'
      await peer.do('ask', { peer: me, taskId, frame: first, halfClose: second == null })
      if (second != null) {
        await peer.do('more', { taskId, frame: second })
      }
      await assert.rejects(peer.do('answer', { taskId }), (error) => error instanceof PeerFailure)
    }

    it('with what is no message: it gets no answer', async () => {
      handler = () => assert.fail('it was handled')
      await refused(GARBAGE)
    })

    it('with half a message: it gets no answer', async () => {
      handler = () => assert.fail('it was handled')
      await refused(FRAME.slice(0, 6))
    })

    it('with two messages at once: it gets no answer', async () => {
      await refused(FRAME + SECOND_FRAME)
    })

    it('with a second message while the first is handled: it gets no answer', async () => {
      const running = Promise.withResolvers<AbortSignal>()
      handler = async (_task, { signal }) => {
        running.resolve(signal)
        return new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
      await peer.do('ask', { peer: me, taskId: 'late', frame: FRAME })
      const signal = await running.promise
      await peer.do('more', { taskId: 'late', frame: SECOND_FRAME })
      await assert.rejects(peer.do('answer', { taskId: 'late' }), (error) => error instanceof PeerFailure)
      assert.equal(signal.aborted, true)
    })

    it('and drops its stream in the middle of a call: the handler is told, and nothing is left of it', async () => {
      const running = Promise.withResolvers<AbortSignal>()
      handler = async (_task, { signal }) => {
        running.resolve(signal)
        return new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
      const answered = event(node, 'task', ({ peerId }) => peerId === peer.peerId)
      await peer.do('ask', { peer: me, taskId: 'left alone' })
      const signal = await running.promise
      await peer.do('reset', { taskId: 'left alone' })
      await answered
      await turn()
      assert.equal(signal.aborted, true)
      assert.equal(node.tasks.handling, 0)
    })
  })
}
