import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { ProtocolError, type SubnetNode } from '../../src/index.ts'
import { addressOf, Lab } from '../support/nodes.ts'
import { type Failure, type Kind, type Outcome, VECTORS, type Vector } from '../vectors/load.ts'
import { type ForeignPeer, PeerFailure } from './foreign-peer.ts'
import { PythonLab } from './python-peer.ts'

/** What py-libp2p's reader and protobuf raise. */
const RAISED: Record<Failure, string> = {
  'empty-stream': 'IncompleteReadError',
  'truncated-prefix': 'IncompleteReadError',
  'bad-prefix': 'ParseError',
  'over-limit': 'MessageTooLarge',
  'truncated-body': 'IncompleteReadError',
  'more-than-one-message': 'MoreThanOneMessage',
  undecodable: 'DecodeError',
}

/** An outcome with its bytes in hex, as Python tells it. */
function inHex(outcome: Outcome): { fields: object } | { raised: string } {
  if ('fails' in outcome) {
    return { raised: RAISED[outcome.fails] }
  }
  const fields = Object.entries(outcome.fields).map(([name, value]) => [name, value instanceof Uint8Array ? hex(value) : value])
  return { fields: Object.fromEntries(fields) }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function of<K extends Kind>(kind: K): Array<Extract<Vector, { kind: K }>> {
  return VECTORS.filter((vector) => vector.kind === kind) as Array<Extract<Vector, { kind: K }>>
}

describe('the vectors of the task protocol, in Python', function () {
  this.timeout(60_000)
  const python = new PythonLab()
  let peer: ForeignPeer

  before(async () => {
    peer = await python.peer()
  })

  after(async () => python.clean())

  async function judged({ kind, frame }: Vector): Promise<object> {
    try {
      return await peer.do('decode', { kind, frame: hex(frame) })
    } catch (error) {
      assert.ok(error instanceof PeerFailure)
      return { raised: error.failed }
    }
  }

  it('are read by py-libp2p and libprotobuf as they say, or in the other way that they call right', async () => {
    for (const vector of VECTORS) {
      const judgement = await judged(vector)
      const right = [vector.outcome, vector.otherwise].flatMap((outcome) => (outcome == null ? [] : [inHex(outcome)]))
      assert.ok(
        right.some((outcome) => JSON.stringify(outcome) === JSON.stringify(judgement)),
        `${vector.kind} "${vector.name}": ${JSON.stringify(judgement)} and not ${JSON.stringify(right)}`,
      )
    }
  })

  it('are written by py-libp2p and libprotobuf byte for byte', async () => {
    const canonical = VECTORS.filter((vector) => vector.canonical)
    assert.ok(canonical.length > 20)
    for (const { kind, name, frame, outcome } of canonical) {
      assert.deepEqual(await peer.do('encode', { kind, ...inHex(outcome) }), { frame: hex(frame) }, `${kind} "${name}"`)
    }
  })
})

describe('the vectors of the task protocol, between a Python peer and us', function () {
  this.timeout(60_000)
  const lab = new Lab()
  const python = new PythonLab()
  let node: SubnetNode
  let me: string
  let peer: ForeignPeer
  let handled: { taskId: string; payload: string } | undefined

  before(async () => {
    node = await lab.node({
      handler: ({ taskId, payload }) => {
        handled = { taskId, payload: hex(payload) }
        return payload
      },
    })
    me = node.peerId.toString()
    peer = await python.peer({ tasks: true })
    await peer.do('dial', { address: addressOf(node) })
  })

  beforeEach(() => {
    handled = undefined
  })

  after(async () => {
    await python.clean()
    await lab.clean()
  })

  for (const { name, frame, outcome } of of('request')) {
    it(`${'fields' in outcome ? 'answers' : 'does not answer'} request "${name}"`, async () => {
      const answer = peer.do('send', { peer: me, frame: hex(frame) })
      if ('fails' in outcome) {
        // py-libp2p says of a reset either, as its reader and the reset meet
        await assert.rejects(answer, ({ failed }: PeerFailure) => ['StreamReset', 'StreamEOF'].includes(failed))
        assert.equal(handled, undefined)
        return
      }
      const allowed = !outcome.fields.taskId.includes('\0') && outcome.fields.taskId.length <= 256
      assert.equal((await answer)['accepted'], allowed)
      assert.deepEqual(handled, allowed ? { taskId: outcome.fields.taskId, payload: hex(outcome.fields.payload) } : undefined)
    })
  }

  /** What a call makes of an answer that is this frame. */
  async function answered(frame: Uint8Array): Promise<object> {
    await peer.do('serve', { how: 'frame', frame: hex(frame) })
    try {
      const { accepted, result, error } = await node.tasks.sendTask(peerIdFromString(peer.peerId), 'a task', Buffer.from('x'))
      return { fields: { accepted, result: hex(result), error } }
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error))
      return { code: error.code, mayHaveActed: error.mayHaveActed }
    }
  }

  for (const { name, frame, outcome } of of('response')) {
    it(`${'fields' in outcome ? 'takes' : 'refuses'} response "${name}"`, async () => {
      const code = 'fails' in outcome && outcome.fails === 'over-limit' ? 'LIMIT_EXCEEDED' : 'REMOTE_FAILED'
      assert.deepEqual(await answered(frame), 'fields' in outcome ? inHex(outcome) : { code, mayHaveActed: true })
    })
  }

  it('leave nothing behind: one connection, and it still answers', async () => {
    assert.equal((await peer.do('call', { peer: me, taskId: 'the last', size: 10 }))['accepted'], true)
    assert.equal(node.connections.length, 1)
  })
})
