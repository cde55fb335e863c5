import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import type { SubnetNode, Task, TaskHandler } from '../../src/index.ts'
import { addressOf, event, Lab } from '../support/nodes.ts'
import { type Answer, digest, streamsClosed, taskStreams } from './expectations.ts'
import type { ForeignPeer, PeerFailure } from './foreign-peer.ts'
import { GoLab } from './go-peer.ts'

const KIB = 1_024
const MIB = KIB * KIB
const SIZES = [0, 1, 127, 128, 64 * KIB, MIB, 16 * MIB]
/** go/calls.go has them. */
const WAYS = {
  'half-close': 'closes its side at once',
  open: 'leaves its side open',
  'read-all': 'closes its side and reads to the end',
}

/** As frames, in hex. */
const NO_REQUESTS = {
  'what is no message': '03ffffff',
  'a message that ends too early': '0a0a0161',
  'a length alone': 'ff',
}

describe('a Go peer that asks', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const go = new GoLab()
  let node: SubnetNode
  let me: string
  let peer: ForeignPeer
  let handler: TaskHandler

  before(async () => {
    node = await lab.node({ handler: (task, context) => handler(task, context) })
    me = node.peerId.toString()
    peer = await go.peer()
    await peer.do('dial', { address: addressOf(node) })
  })

  beforeEach(() => {
    handler = ({ payload }) => payload
  })

  after(async () => {
    await go.clean()
    await lab.clean()
  })

  /** One call, whose payload must come as it was sent, and back. */
  async function calls(how: string, size: number): Promise<void> {
    const taskId = `${size} bytes, ${how}`
    let task: Task | undefined
    handler = (received) => {
      task = received
      return received.payload
    }
    const answer = await peer.do<Answer>('call', { peer: me, taskId, size, how })
    assert.equal(answer.sent.bytes, size)
    assert.deepEqual(answer, { sent: answer.sent, accepted: true, error: '', result: answer.sent })
    assert.equal(task?.taskId, taskId)
    assert.deepEqual(digest(task.payload), answer.sent)
  }

  for (const [how, says] of Object.entries(WAYS)) {
    for (const size of SIZES) {
      it(`and ${says} has a payload of ${size} bytes arrive unchanged, and gets it back unchanged`, async () => calls(how, size))
    }
  }

  it('on a connection that is new, and closes its side at once, is answered each time', async () => {
    for (let time = 1; time <= 5; time++) {
      const other = await go.peer()
      await other.do('dial', { address: addressOf(node) })
      assert.equal((await other.do<Answer>('call', { peer: me, taskId: 'the first', size: 10, how: 'half-close' })).accepted, true)
      await other.kill()
    }
  })

  for (const size of [0, 127, 128, 2_000]) {
    it(`and sends a request of ${size} bytes byte by byte is answered`, async () => calls('bytes', size))
  }

  for (const how of ['open', 'half-close']) {
    it(`is told why its task was rejected (${how})`, async () => {
      handler = () => {
        throw new Error('zu groß für heute')
      }
      const { accepted, error, result } = await peer.do<Answer>('call', { peer: me, taskId: 'a task', size: 10, how })
      assert.deepEqual({ accepted, error, bytes: result.bytes }, { accepted: false, error: 'zu groß für heute', bytes: 0 })
    })
  }

  it('is told that a task id has control characters', async () => {
    const { accepted, error } = await peer.do<Answer>('call', { peer: me, taskId: 'two\nlines', how: 'open' })
    assert.deepEqual({ accepted, error }, { accepted: false, error: 'a task id is at most 256 bytes, without control characters' })
  })

  it('is told that there is no handler, before a request of 16 MiB has ended or after', async () => {
    const none = await lab.node()
    const peerId = none.peerId.toString()
    await peer.do('dial', { address: addressOf(none) })
    const { accepted, error } = await peer.do<Answer>('call', { peer: peerId, taskId: 'a task', size: 16 * MIB, how: 'half-close' })
    assert.equal(accepted, false)
    assert.match(error, /no handler|does not handle|handler/)
  })

  for (const [what, frame] of Object.entries(NO_REQUESTS)) {
    it(`gets no answer for ${what}, and the handler is not asked`, async () => {
      handler = () => assert.fail('the handler was asked')
      const call = peer.do('call', { peer: me, how: 'frame', frame })
      await assert.rejects(call, ({ failed }: PeerFailure) => failed === 'StreamReset')
    })
  }

  it('gets no answer for two messages where one is allowed', async () => {
    await assert.rejects(peer.do('call', { peer: me, how: 'two' }), ({ failed }: PeerFailure) => failed === 'StreamReset')
  })

  /** Has a peer ask, with a handler that waits for its signal; gives that. */
  async function asked(asking: ForeignPeer): Promise<AbortSignal> {
    const running = Promise.withResolvers<AbortSignal>()
    handler = async (_task, { signal }) => {
      running.resolve(signal)
      return new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    await asking.do('ask', { peer: me, taskId: 'left alone' })
    return running.promise
  }

  it('sends a second message while its task is handled: the handler is told, and the stream is reset', async () => {
    const signal = await asked(peer)
    await assert.rejects(peer.do('more', { taskId: 'left alone' }), ({ failed }: PeerFailure) => failed === 'StreamReset')
    assert.equal(signal.aborted, true)
    await streamsClosed(node)
  })

  /** Has this peer leave in its own way while the handler runs, and waits until all is as before. */
  async function left(asking: ForeignPeer, leave: () => Promise<unknown>): Promise<void> {
    await streamsClosed(node)
    const answered = event(node, 'task', ({ peerId }) => peerId === asking.peerId)
    const signal = await asked(asking)
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
    assert.equal((await peer.do<Answer>('call', { peer: me, taskId: 'the next', size: 1, how: 'open' })).accepted, true)
  })

  it('disconnects in the middle of a call: the handler is told, and nothing is left of it', async () => {
    const other = await go.peer()
    await other.do('dial', { address: addressOf(node) })
    const gone = event(node, 'peer:disconnect', ({ peerId }) => peerId === other.peerId)
    await left(other, async () => other.do('leave', { peer: me }))
    await gone
  })

  it('is killed in the middle of a call: the handler is told, and nothing is left of it', async () => {
    const other = await go.peer()
    await other.do('dial', { address: addressOf(node) })
    const gone = event(node, 'peer:disconnect', ({ peerId }) => peerId === other.peerId)
    await left(other, async () => other.kill())
    await gone
  })
})
