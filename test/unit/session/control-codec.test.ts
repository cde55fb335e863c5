import assert from 'node:assert/strict'
import { create } from '@bufbuild/protobuf'
import { Code } from '@connectrpc/connect'
import { AliasSchema, ChainListResponseSchema, FailureSchema, PeerSchema } from '../../../src/gen/subnet/control/v1/control_pb.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { ResolveError, type ResolveErrorCode } from '../../../src/resolve/errors.ts'
import type { ChainListAnswer, PeerRow } from '../../../src/session/answers.ts'
import { fromConnectError, fromFailure, toConnectError, toMessage, toPlain } from '../../../src/session/control/control-codec.ts'
import { OTHER_PEER_ID } from '../../support/seeds.ts'

const ROW: PeerRow = {
  peerId: OTHER_PEER_ID,
  alias: null,
  connected: true,
  direction: 'inbound',
  latencyMs: 1.5,
  agent: null,
  protocols: ['/a/1'],
  multiaddrs: [],
  source: 'connected',
  lastHeartbeatMs: null,
  network: 'native',
}

describe('an answer on the control socket', () => {
  it('is the same behind it, what is absent included', () => {
    const row: PeerRow = toPlain<typeof PeerSchema, PeerRow>(PeerSchema, create(PeerSchema, toMessage(PeerSchema, ROW)))
    assert.deepEqual(row, ROW)
    const place = { role: null, nodeId: 3, class: 'idle' } as const
    const record = { peerId: OTHER_PEER_ID, multiaddrs: [], verified: false, block: 4, stale: true, readAtMs: 5, ...place }
    const list: ChainListAnswer = { records: [record], withoutAddress: 1, block: 4, stale: true, readAtMs: 5 }
    const message = create(ChainListResponseSchema, toMessage(ChainListResponseSchema, list))
    assert.deepEqual(toPlain<typeof ChainListResponseSchema, ChainListAnswer>(ChainListResponseSchema, message), list)
  })

  it('does not compile without a field of its message, or with one more', () => {
    const alias = create(AliasSchema, { alias: 'bob', peerId: OTHER_PEER_ID })
    // @ts-expect-error an answer lacks a field of the message
    toPlain<typeof AliasSchema, { alias: string }>(AliasSchema, alias)
    // @ts-expect-error an answer has a field that the message has not
    toPlain<typeof AliasSchema, { alias: string; peerId: string; more: string }>(AliasSchema, alias)
    // @ts-expect-error an answer that is sent lacks a field of the message
    toMessage(AliasSchema, { alias: 'bob' })
    // @ts-expect-error an answer that is sent has a field that the message has not
    toMessage(AliasSchema, { alias: 'bob', peerId: OTHER_PEER_ID, more: 'x' })
    assert.deepEqual(toPlain(AliasSchema, alias), { alias: 'bob', peerId: OTHER_PEER_ID })
  })
})

describe('an error on the control socket', () => {
  it('keeps its code, its hint, its attempts, and has a code of Connect', () => {
    const attempts = [{ tier: 'gossip', outcome: 'miss', ms: 1, detail: 'none' }] as const
    for (const code of ['PEER_NOT_FOUND', 'UNREACHABLE', 'NOT_ADMITTED', 'CHAIN_UNAVAILABLE'] satisfies ResolveErrorCode[]) {
      const read = fromConnectError(toConnectError(new ResolveError(code, 'nowhere', [...attempts], { hint: 'ask' })))
      assert.ok(read instanceof ResolveError)
      const { message, hint, attempts: found } = read
      assert.deepEqual({ code: read.code, message, hint, found }, { code, message: 'nowhere', hint: 'ask', found: attempts })
    }
    const rejected = toConnectError(new ProtocolError('TASK_REJECTED', 'no'))
    assert.deepEqual([rejected.code, fromConnectError(rejected)?.code], [Code.Internal, 'TASK_REJECTED'])
  })

  it('of a newer node, whose code is not known here, is internal', () => {
    for (const resolution of [false, true]) {
      const { code, message } = fromFailure(create(FailureSchema, { code: 'LATER', message: 'x', resolution }))
      assert.deepEqual({ code, message }, { code: 'INTERNAL', message: 'x' })
    }
  })
})
