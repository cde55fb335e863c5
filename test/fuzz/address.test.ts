import assert from 'node:assert/strict'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { PeerId } from '@libp2p/interface'
import fc from 'fast-check'
import { AddressAnswerSchema, AddressQuerySchema, AddressStatus } from '../../src/gen/subnet/address/v1/address_pb.ts'
import { openPeerRecord } from '../../src/gossip/peer-record.ts'
import { type AddressDirectory, AddressProtocol } from '../../src/protocol/builtin/address.ts'
import { AskingHost, outcomeOf, request, sentOf } from '../support/fuzz-hosts.ts'
import { fuzz } from '../support/fuzzing.ts'
import { mutated, mutatedMessage } from '../support/mutations.ts'

const ID = '/subnet/address/1.0.0'
const MAX_FRAME_BYTES = 8 * 1024
const MAX_CUT = 300

describe('address messages, whatever is in them', function () {
  this.timeout(0)
  let host: AskingHost
  let known: AskingHost
  let asker: AskingHost
  let envelope: Uint8Array

  before(async () => {
    ;[host, known, asker] = await Promise.all([AskingHost.create(), AskingHost.create(), AskingHost.create()])
    envelope = await known.record()
  })

  /** Knows one peer, and asks one neighbour for all others. */
  function directory(neighbours: PeerId[] = []): AddressDirectory {
    return {
      recordOf: async (peerId) => (peerId.equals(known.peerId) ? { envelope, ageMs: 7, intervalMs: 20_000 } : undefined),
      sequenceOf: async (bytes, peerId) =>
        openPeerRecord(bytes).then(
          (record) => (record.peerId.equals(peerId) ? record.seq : undefined),
          () => undefined,
        ),
      neighbours: () => neighbours,
    }
  }

  function query(init: Partial<{ peerId: Uint8Array; hops: number; deadlineMs: number; queryId: Uint8Array }> = {}): Uint8Array {
    const peerId = known.peerId.toMultihash().bytes
    return toBinary(
      AddressQuerySchema,
      create(AddressQuerySchema, { queryId: new Uint8Array(16), peerId, hops: 2, deadlineMs: 1_000, ...init }),
    )
  }

  function answer(init: object = {}): Uint8Array {
    const found = { status: AddressStatus.FOUND, signedPeerRecord: envelope, ageMs: 5n, intervalMs: 20_000, hops: 1, ...init }
    return toBinary(AddressAnswerSchema, create(AddressAnswerSchema, found))
  }

  const uint32 = fc.oneof(fc.nat({ max: 4 }), fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1), fc.nat({ max: 2 ** 31 - 1 }))

  /** Queries that can be read, and those that cannot. */
  function queries(): fc.Arbitrary<Uint8Array> {
    const peers = [known, asker, host].map(({ peerId }) => peerId.toMultihash().bytes)
    const peerId = fc.oneof(fc.constantFrom(...peers), fc.uint8Array({ maxLength: 40 }), mutated(peers[0] as Uint8Array))
    const queryId = fc.oneof(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.uint8Array({ maxLength: 20 }))
    const made = fc.record({ peerId, queryId, hops: uint32, deadlineMs: uint32 }).map(query)
    return fc.oneof(made, made, mutatedMessage(made), fc.uint8Array({ maxLength: 80 }))
  }

  function answers(): fc.Arbitrary<Uint8Array> {
    const record = fc.oneof(fc.constant(envelope), mutatedMessage(envelope), fc.uint8Array({ maxLength: 60 }))
    const made = fc
      .record({
        signedPeerRecord: record,
        status: fc.constantFrom(0, 1, 2, 3, 4, -1, 2 ** 31 - 1),
        ageMs: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        intervalMs: uint32,
        hops: uint32,
      })
      .map(answer)
    return fc.oneof(made, mutatedMessage(made), fc.uint8Array({ maxLength: 80 }))
  }

  function checkAnswer(bytes: Uint8Array | undefined): void {
    if (bytes != null) {
      const { status, signedPeerRecord, hops } = fromBinary(AddressAnswerSchema, bytes)
      assert.notEqual(status, AddressStatus.UNSPECIFIED)
      assert.ok(Object.values<number>(AddressStatus).includes(status))
      assert.equal(signedPeerRecord.byteLength > 0, status === AddressStatus.FOUND)
      assert.ok(hops <= 4)
    }
  }

  it('are answered as queries, or reset', async () => {
    let nowMs = 0
    const protocol = new AddressProtocol(host, directory(), { now: () => nowMs })
    await fuzz(sentOf(queries(), MAX_CUT), { runs: 8_000, target: 'address: queries' }, MAX_FRAME_BYTES, async (sent) => {
      nowMs += 1_000
      checkAnswer(await request(host, ID, asker.peerId, sent))
    })
    assert.equal(protocol.handling, 0)
  })

  it('are passed on as queries to a neighbour that answers anything, and answered all the same', async () => {
    let nowMs = 0
    new AddressProtocol(host, directory([known.peerId]), { now: () => nowMs })
    const both = fc.record({ sent: sentOf(queries(), MAX_CUT), back: sentOf(answers(), MAX_CUT) })
    await fuzz(both, { runs: 3_000, target: 'address: queries passed on' }, MAX_FRAME_BYTES, async ({ sent, back }) => {
      nowMs += 1_000
      host.answer = back
      checkAnswer(await request(host, ID, asker.peerId, sent))
    })
  })

  it('are taken for the signed record of the peer that was asked for, or for none, as answers', async () => {
    const protocol = new AddressProtocol(host, directory())
    let found = 0
    await fuzz(sentOf(answers(), MAX_CUT), { runs: 8_000, target: 'address: answers' }, MAX_FRAME_BYTES, async (sent) => {
      host.answer = sent
      const record = await outcomeOf(protocol.ask(asker.peerId, known.peerId))
      if (record != null) {
        found++
        const { peerId } = await openPeerRecord(record.envelope)
        assert.ok(peerId.equals(known.peerId))
        assert.ok(record.seq === 1n && record.hops <= 3 && Number.isSafeInteger(record.ageMs) && record.ageMs >= 0)
      }
    })
    assert.ok(found > 0, 'good ones are among them')
  })
})
