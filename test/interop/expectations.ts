// What the tests of every stack ask of our side, and of a foreign peer's answers.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Stream } from '@libp2p/interface'
import type { KnownPeer, ProtocolError, SubnetNode } from '../../src/index.ts'
import type { Digest, Line } from './foreign-peer.ts'

/** What a foreign peer tells of a call that it made. */
export interface Answer {
  sent: Digest
  accepted: boolean
  error: string
  result: Digest
}

/** What a foreign peer tells of identify. */
export interface Identified extends Line {
  agent: string
  protocols: string[]
  addresses: string[]
  signed: { peerId: string; addresses: string[] }
}

export function digest(bytes: Uint8Array): Digest {
  return { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') }
}

/** The streams of a node on which tasks travel. */
export function taskStreams(node: SubnetNode): Stream[] {
  return node.connections.flatMap(({ streams }) => streams).filter(({ protocol }) => protocol === node.tasks.id)
}

/** Waits until no stream is left on which a task travels: the other side may take a moment to close its own. */
export async function streamsClosed(node: SubnetNode): Promise<void> {
  await Promise.all(taskStreams(node).map(async (stream) => once(stream, 'close')))
  assert.equal(taskStreams(node).length, 0)
}

/** What a call must end with. */
export async function failure(call: Promise<unknown>): Promise<ProtocolError> {
  const error = await call.then(
    () => assert.fail('it succeeded'),
    (cause: unknown) => cause,
  )
  assert.equal((error as Error).name, 'ProtocolError', String(error))
  return error as ProtocolError
}

/** How such a call ended, to compare. */
export function ending({ code, phase, mayHaveActed }: ProtocolError): Pick<ProtocolError, 'code' | 'phase' | 'mayHaveActed'> {
  return { code, phase, mayHaveActed }
}

/** A peer as soon as identify told of it: no event says when, so it is looked for again and again. */
export async function identified(node: SubnetNode, peerId: string): Promise<KnownPeer> {
  const signal = AbortSignal.timeout(20_000)
  while (true) {
    const found = (await node.peers()).find((known) => known.peerId.toString() === peerId)
    if (found?.agent != null) {
      return found
    }
    await delay(10, undefined, { signal })
  }
}
