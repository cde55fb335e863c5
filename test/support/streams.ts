import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { StreamMessageEvent } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { AbstractStream, type SendResult } from '@libp2p/utils'
import * as varint from 'uint8-varint'

/** One for all streams: each logger that is made asks whether there is a terminal. */
const log = defaultLogger().forComponent('test:stream')

/** A libp2p stream in memory whose other end is the test: what it is given arrives in exactly these pieces, at once. */
export class TestStream extends AbstractStream {
  /** What was sent, in the pieces that the muxer would have got. */
  readonly sent: Uint8Array[] = []
  /** Bytes that the other end still takes. */
  #window = Number.POSITIVE_INFINITY

  constructor(direction: 'inbound' | 'outbound' = 'inbound') {
    super({ id: 'test', direction, log })
  }

  /** Everything that was sent. */
  get output(): Buffer {
    return Buffer.concat(this.sent)
  }

  receive(chunks: Uint8Array | Uint8Array[]): void {
    for (const chunk of [chunks].flat()) {
      this.onData(chunk)
    }
  }

  /** The other end takes no more than this from now on. */
  shutWindow(bytes = 0): void {
    this.#window = bytes
  }

  /** The other end takes that much more; a yamux stream tells so only when something is waiting. */
  openWindow(bytes = Number.POSITIVE_INFINITY): void {
    this.#window += bytes
    if (this.writeBufferLength > 0) {
      this.onMuxerDrain()
    }
  }

  override sendData(data: { byteLength: number; subarray(from: number, to: number): Uint8Array }): SendResult {
    const sentBytes = Math.min(data.byteLength, this.#window)
    if (sentBytes > 0) {
      this.sent.push(data.subarray(0, sentBytes).slice())
    }
    this.#window -= sentBytes
    return { sentBytes, canSendMore: sentBytes === data.byteLength }
  }

  override sendResume(): void {
    if (this.status === 'closed') {
      throw new Error('the connection is closed')
    }
  }

  override sendReset(): void {
    this.shutWindow()
  }

  override sendPause(): void {
    // the other end is the test
  }

  override async sendCloseWrite(): Promise<void> {
    this.shutWindow()
  }

  override async sendCloseRead(): Promise<void> {
    // the other end is the test
  }
}

/** What travels for one message. */
export function frameOf(bytes: Uint8Array): Buffer {
  return Buffer.concat([varint.encode(bytes.byteLength), bytes])
}

/** The prefix of a frame of that length, without the frame. */
export function prefixOf(length: number): Uint8Array {
  return varint.encode(length)
}

/** Numbers in [0, 1) that look random and are the same in every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** `length` bytes, the same for the same seed. */
export function someBytes(length: number, seed = 1): Uint8Array {
  const random = seeded(seed)
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, () => random() * 2 ** 32)
  return new Uint8Array(words.buffer, 0, length)
}

/** Cuts bytes into pieces whose lengths `size` gives. */
export function cut(bytes: Uint8Array, size: () => number): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.byteLength; ) {
    const to = at + Math.max(1, Math.floor(size()))
    pieces.push(bytes.subarray(at, to))
    at = to
  }
  return pieces
}

const collectGarbage = ((): (() => void) => {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc')
})()

/** Bytes that this process has in use on V8's heap and outside of it, garbage left out. */
export function memoryInUse(): { heap: number; external: number } {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return { heap: heapUsed, external }
}

/** Bytes that this process has in use, on the heap and in buffers, garbage left out. */
export function bytesInUse(): number {
  collectGarbage()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Turns in which what is no longer in use may go: what a weak reference holds, or has a finalizer, goes later than the rest. */
const TURNS = 50

/** Fails where, `before` not counted, more bytes than that stay in use. */
export async function keepsLess(before: number, bytes: number, what = 'too much stays in use'): Promise<void> {
  let kept = bytesInUse() - before
  for (let turns = 0; turns < TURNS && kept >= bytes; turns++) {
    await turn()
    kept = bytesInUse() - before
  }
  assert.ok(kept < bytes, `${what}: ${kept} bytes`)
}

/** What a stream is to those who read it: an emitter of messages that can be reset. */
export class Emitter extends EventTarget {
  aborted: Error | undefined

  abort(error: Error): void {
    this.aborted = error
  }

  receives(bytes: Uint8Array): void {
    this.dispatchEvent(new StreamMessageEvent(bytes))
  }
}
