import assert from 'node:assert/strict'
import { FileDescriptorSetSchema, ListValueSchema, StructSchema } from '@bufbuild/protobuf/wkt'
import { TaskRequestSchema } from '../../../src/gen/task_protocol_pb.ts'
import { protobufCodec } from '../../../src/protocol/message/codec.ts'
import { bytesInUse, keepsLess } from '../../support/streams.ts'

const MIB = 1 << 20

describe('a codec of protobuf messages', () => {
  const { encode, decode } = protobufCodec(TaskRequestSchema)

  it('gives what was written', () => {
    const { taskId, payload } = decode(encode({ taskId: 'a task', payload: Buffer.from('x') }))
    assert.deepEqual([taskId, Buffer.from(payload).toString()], ['a task', 'x'])
  })

  it('keeps nothing of fields that it does not know, of which a peer may send millions', async () => {
    const before = bytesInUse()
    // field 4, a number, again and again
    const message = decode(Buffer.alloc(8 * MIB, Buffer.from([0x20, 0])))
    await keepsLess(before, 32 * MIB)
    assert.deepEqual([message.taskId, message.$unknown], ['', undefined])
  })

  it('takes lists and maps of messages up to a limit, and refuses more before it makes anything of them', async () => {
    const { decode } = protobufCodec(FileDescriptorSetSchema)
    const [most, one] = [1 << 18, Buffer.from([0x0a, 0])]
    assert.equal(decode(Buffer.alloc(2 * most, one)).file.length, most)
    const before = bytesInUse()
    assert.throws(() => decode(Buffer.alloc(2 * most + 2, one)), /a message of more than 262144 values/)
    assert.throws(() => decode(Buffer.alloc(64 * MIB, one)), /a message of more than 262144 values/)
    await keepsLess(before, 32 * MIB)
    // in lists in lists, and in maps: the same field again and again is one that grows
    const nested = Buffer.concat([Buffer.from([0x0a, 0x80, 0x80, 0x40]), Buffer.alloc(MIB, Buffer.from([0x22, 0]))])
    assert.throws(() => decode(nested), /more than 262144 values/)
    const struct = protobufCodec(StructSchema)
    const entries = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`key ${index}`, index]))
    assert.equal(Object.keys(struct.decode(struct.encode({ fields: toFields(entries) })).fields).length, 1_000)
    assert.throws(() => struct.decode(Buffer.alloc(MIB, one)), /more than 262144 values/)
  })

  it('refuses what is nested without end, as an error and not as a stack that overflows', () => {
    const { decode } = protobufCodec(ListValueSchema)
    let bytes = Buffer.alloc(0)
    for (let depth = 0; depth < 20_001; depth++) {
      // a value that is a list with one value
      const length = [(bytes.byteLength & 0x7f) | 0x80, ((bytes.byteLength >> 7) & 0x7f) | 0x80, bytes.byteLength >> 14]
      bytes = Buffer.concat([Buffer.from([depth % 2 === 0 ? 0x0a : 0x32, ...length]), bytes])
    }
    assert.throws(() => decode(bytes), /nested more than 100 deep/)
  })
})

function toFields(values: Record<string, number>): Record<string, { kind: { case: 'numberValue'; value: number } }> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, { kind: { case: 'numberValue', value } }]))
}
