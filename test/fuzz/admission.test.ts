import assert from 'node:assert/strict'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Connection, PeerId } from '@libp2p/interface'
import fc from 'fast-check'
import { AdmissionRequestSchema, AdmissionResponseSchema } from '../../src/gen/subnet/admission/v1/admission_pb.ts'
import { ADMISSION_PROTOCOL_ID, AdmissionProtocol, askForRefusal } from '../../src/protocol/builtin/admission.ts'
import { answering, request, type Sent, sentOf } from '../support/fuzz-hosts.ts'
import { fuzz } from '../support/fuzzing.ts'
import { MemoryHost } from '../support/memory-network.ts'
import { mutatedMessage } from '../support/mutations.ts'

const MAX_FRAME_BYTES = 4 * 1024
const MAX_CUT = 40
const MAX_REASON_CHARACTERS = 1_000

describe('admission messages, whatever is in them', function () {
  this.timeout(0)
  let host: MemoryHost
  let peer: MemoryHost

  before(async () => {
    ;[host, peer] = await Promise.all([MemoryHost.create(), MemoryHost.create()])
  })

  it('a question is answered, or its stream reset', async () => {
    new AdmissionProtocol(host, () => 'not registered')
    const valid = toBinary(AdmissionRequestSchema, create(AdmissionRequestSchema))
    const bytes = fc.oneof(
      fc.constant(valid),
      mutatedMessage(valid),
      mutatedMessage(Buffer.from([8, 1, 18, 2, 8, 1])),
      fc.uint8Array({ maxLength: 60 }),
    )
    await fuzz(sentOf(bytes, MAX_CUT), { runs: 4_000, target: 'admission: questions' }, MAX_FRAME_BYTES, async (sent) => {
      const answer = await request(host, ADMISSION_PROTOCOL_ID, peer.peerId, sent)
      assert.ok(answer == null || fromBinary(AdmissionResponseSchema, answer).reason === 'not registered')
    })
  })

  it('an answer gives a reason of bounded length, or none', async () => {
    const valid = [{ admitted: true }, { reason: 'not registered' }, { reason: 'x'.repeat(2 * MAX_REASON_CHARACTERS) }].map((init) =>
      toBinary(AdmissionResponseSchema, create(AdmissionResponseSchema, init)),
    )
    const bytes = fc.oneof(fc.constantFrom(...valid), mutatedMessage(fc.constantFrom(...valid)), fc.uint8Array({ maxLength: 60 }))
    await fuzz(sentOf(bytes, MAX_CUT), { runs: 6_000, target: 'admission: answers' }, MAX_FRAME_BYTES, async (sent) => {
      const reason = await askForRefusal(host, connectionTo(peer.peerId, sent))
      assert.ok(reason == null || (reason !== '' && reason.length <= MAX_REASON_CHARACTERS))
    })
  })
})

/** A connection to a peer that answers with these bytes. */
function connectionTo(remotePeer: PeerId, sent: Sent): Connection {
  return { remotePeer, status: 'open', abort: () => undefined, newStream: async () => answering(sent) } as unknown as Connection
}
