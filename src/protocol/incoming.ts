import type { IncomingMessage, ReadOptions } from './call-stream.ts'
import { ProtocolError, tooLarge } from './errors.ts'
import { type PeerShare, type ProtocolLimits, STREAMED_WINDOW_BYTES } from './limits.ts'

/** Messages up to this never wait for the byte budget: large ones that crawl in must not keep small ones from being served. */
const SMALL_MESSAGE_BYTES = 64 * 1024

/** Gives back the share of a small message. */
export function nothingHeld(): void {
  // it has none
}

/** What a message takes of the byte budget; gives what gives it back. @throws the reason of the signal, or of the call's end */
export async function acquireShare(
  budget: Pick<PeerShare, 'acquire'>,
  bytes: number,
  { signal: given, over }: ReadOptions,
): Promise<() => void> {
  if (bytes <= SMALL_MESSAGE_BYTES) {
    return nothingHeld
  }
  const signal = given ?? over?.signal
  return budget.acquire(bytes, signal == null ? {} : { signal })
}

/** Of a message that is used while it comes: only the time counts in which the peer is waited for. */
export class Pace {
  readonly #limits: Pick<ProtocolLimits, 'stallTimeoutMs' | 'minBytesPerSecond'>
  #waitedMs = 0
  #waitsSinceMs: number | undefined

  constructor(limits: Pick<ProtocolLimits, 'stallTimeoutMs' | 'minBytesPerSecond'>) {
    this.#limits = limits
  }

  /** @param receivedBytes of the message, asked once `more` is over. @throws ProtocolError TIMEOUT for less than the least average; as `more` */
  async wait(more: () => Promise<void>, receivedBytes: () => number): Promise<void> {
    this.#waitsSinceMs = performance.now()
    await more()
    const slow = this.isSlow(receivedBytes())
    this.#waitedMs += performance.now() - this.#waitsSinceMs
    this.#waitsSinceMs = undefined
    if (slow) {
      throw tooSlow(this.#limits.minBytesPerSecond)
    }
  }

  /** True below the least average, while somebody waits. */
  isSlow(receivedBytes: number): boolean {
    if (this.#waitsSinceMs == null) {
      return false
    }
    const { stallTimeoutMs, minBytesPerSecond } = this.#limits
    const waitedMs = this.#waitedMs + performance.now() - this.#waitsSinceMs
    return receivedBytes < ((waitedMs - stallTimeoutMs) / 1_000) * minBytesPerSecond
  }
}

export function tooSlow(minBytesPerSecond: number): ProtocolError {
  return new ProtocolError('TIMEOUT', `the peer sent less than ${minBytesPerSecond} bytes/s`)
}

/** What a message needs of the stream that it comes on. */
export interface IncomingSource {
  length: number
  /** Asked for one at a time. */
  next(): Promise<Uint8Array | undefined>
  /** A share of the byte budget; gives what gives it back, once. */
  acquire(bytes: number): Promise<() => void>
}

/** A message that begins to come, with the share of the byte budget that a part of it needs. @throws what `acquire` throws */
export async function beginIncoming({ length, next, acquire }: IncomingSource): Promise<IncomingMessage> {
  let release = await acquire(Math.min(length, STREAMED_WINDOW_BYTES))
  let released = false
  let takenBytes = 0
  let last: Promise<unknown> = Promise.resolve()
  const take = async (): Promise<Uint8Array | undefined> => {
    const bytes = await next()
    takenBytes += bytes?.byteLength ?? 0
    return bytes
  }
  return {
    length,
    get ended() {
      return takenBytes === length
    },
    next: async () => {
      const taken = last.then(take, take)
      last = taken
      return taken
    },
    hold: async () => {
      if (length > STREAMED_WINDOW_BYTES) {
        // not the rest beside it: many that have a part and wait for the rest wait for each other
        release()
        release = await acquire(length)
        if (released) {
          release()
        }
      }
    },
    release: () => {
      released = true
      release()
    },
  }
}

/** What was taken of a message already, and all that comes behind it. @throws ProtocolError LIMIT_EXCEEDED; what its `next` and `hold` throw */
export async function collect(incoming: IncomingMessage, taken: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const { length } = incoming
  if (length > maxBytes) {
    throw tooLarge(length, maxBytes, 'announced by the peer')
  }
  await incoming.hold()
  const chunks = taken.byteLength > 0 ? [taken] : []
  for (let bytes = await incoming.next(); bytes != null; bytes = await incoming.next()) {
    chunks.push(bytes)
  }
  const [only] = chunks
  if (chunks.length === 1 && only != null) {
    return only
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

/** Takes a message to its end, of which nobody wants more. */
export async function discard(incoming: IncomingMessage): Promise<void> {
  while ((await incoming.next()) != null) {
    // the next
  }
}
