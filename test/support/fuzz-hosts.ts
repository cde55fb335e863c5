import assert from 'node:assert/strict'
import type { Connection, PeerId } from '@libp2p/interface'
import fc, { type Arbitrary } from 'fast-check'
import * as varint from 'uint8-varint'
import { ProtocolError } from '../../src/protocol/api/errors.ts'
import type { Destination, Reached } from '../../src/protocol/api/host.ts'
import { MemoryHost } from './memory-network.ts'
import { frameOf, TestStream } from './streams.ts'

/** What comes from a peer, in how many pieces, and how that ends. */
export interface Sent {
  bytes: Uint8Array
  cut: number
  end: 'fin' | 'reset'
}

/** These bytes in a frame, and sometimes without. @param maxCut where the first piece ends at the latest */
export function sentOf(bytes: Arbitrary<Uint8Array>, maxCut: number): Arbitrary<Sent> {
  const framed = fc.oneof({ weight: 9, arbitrary: bytes.map(frameOf) }, { weight: 1, arbitrary: bytes })
  const end = fc.constantFrom('fin', 'fin', 'fin', 'reset') as Arbitrary<Sent['end']>
  return fc.record({ bytes: framed, cut: fc.nat({ max: maxCut }), end })
}

/** A stream on which a peer answers with these bytes, whatever it is asked. */
export function answering(sent: Sent): TestStream {
  const stream = new TestStream('outbound')
  deliver(stream, sent)
  return stream
}

function deliver(stream: TestStream, { bytes, cut, end }: Sent): void {
  stream.receive([bytes.subarray(0, cut), bytes.subarray(cut)].filter(({ byteLength }) => byteLength > 0))
  if (end === 'fin') {
    stream.onRemoteCloseWrite()
  } else {
    stream.onRemoteReset()
  }
}

/** A host whose every call goes to a peer that answers with these bytes, whatever it is asked. */
export class AskingHost extends MemoryHost {
  answer: Sent = { bytes: new Uint8Array(), cut: 0, end: 'fin' }

  static override async create(): Promise<AskingHost> {
    const { privateKey, limits } = await MemoryHost.create()
    return new AskingHost(privateKey, limits)
  }

  override async reach<T>(to: Destination, use: (reached: Reached) => Promise<T>): Promise<T> {
    const newStream = async (): Promise<TestStream> => answering(this.answer)
    return use({ connection: { remotePeer: to as PeerId, newStream } as unknown as Connection, source: 'connected', attempts: [] })
  }
}

/** Sends bytes to a protocol of a host; gives its one answer, or undefined where the stream was reset. */
export async function request(host: MemoryHost, protocolId: string, from: PeerId, sent: Sent): Promise<Uint8Array | undefined> {
  const stream = new TestStream()
  const protocol = [...host.protocols].find(({ id }) => id === protocolId)
  const closed = new Promise<void>((resolve) => stream.addEventListener('close', () => resolve()))
  protocol?.onStream(stream, { remotePeer: from } as Connection)
  deliver(stream, sent)
  await closed
  if (stream.output.byteLength === 0) {
    return undefined
  }
  const length = varint.decode(stream.output)
  const answer = stream.output.subarray(varint.encodingLength(length))
  assert.equal(answer.byteLength, length, 'a whole answer, and one')
  return answer
}

/** The error of a call, or its answer. */
export async function outcomeOf<T>(call: Promise<T>): Promise<T | undefined> {
  return call.catch((error: unknown) => {
    assert.ok(error instanceof ProtocolError, error instanceof Error ? error.stack : String(error))
    return undefined
  })
}
