import { ProtocolError, tooLarge } from '../api/errors.ts'
import { type PeerShare, type ProtocolLimits, type Release, STREAMED_WINDOW_BYTES } from '../api/limits.ts'
import type { IncomingMessage, OpenBeginning, ReadOptions } from '../api/message-stream.ts'
import { prefixOf } from './open-message.ts'

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
): Promise<Release> {
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
  acquire(bytes: number): Promise<Release>
}

/** The same for an open message. */
export interface OpenSource extends Omit<IncomingSource, 'length'> {
  open: OpenBeginning
  /** Told once when there is a share for as much as others may have under way. */
  onWide(): void
}

/** A message that begins to come, with the share of the byte budget that a part of it needs. @throws what `acquire` throws */
export async function beginIncoming({ length, next, acquire }: IncomingSource): Promise<IncomingMessage> {
  let release = await acquire(Math.min(length, STREAMED_WINDOW_BYTES))
  let released = false
  const take = async (): Promise<Uint8Array | undefined> => {
    const bytes = await next()
    incoming.takenBytes += bytes?.byteLength ?? 0
    incoming.ended = incoming.takenBytes === length
    return bytes
  }
  const incoming = {
    length,
    takenBytes: 0,
    ended: length === 0,
    next: inTurn(take),
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
  return incoming
}

/**
 * The same for an open message, which may be silent for long: it has no share while it is small, and no more under way than small ones may. Behind
 * that it gets what others get, as soon as there is room for it.
 */
export function beginOpen({ open, next, acquire, onWide }: OpenSource): IncomingMessage {
  let release: Release = nothingHeld
  let heldBytes = SMALL_MESSAGE_BYTES
  let large = false
  let released = false
  const hold = inTurn(async (bytes: number) => {
    if (bytes <= heldBytes || released) {
      return
    }
    release()
    release = await acquire(bytes)
    if (heldBytes < STREAMED_WINDOW_BYTES) {
      onWide()
    }
    heldBytes = bytes
    if (released) {
      release()
    }
  })
  const take = async (): Promise<Uint8Array | undefined> => {
    const bytes = await next()
    incoming.ended ||= bytes == null
    incoming.takenBytes += bytes?.byteLength ?? 0
    if (incoming.takenBytes > SMALL_MESSAGE_BYTES && !large) {
      large = true
      void hold(STREAMED_WINDOW_BYTES).catch(() => undefined)
    }
    return bytes
  }
  const incoming = {
    length: undefined,
    open,
    takenBytes: open.head.byteLength,
    ended: false,
    next: inTurn(take),
    hold: async (bytes = STREAMED_WINDOW_BYTES) => hold(bytes),
    release: (keepBytes = 0) => {
      released ||= keepBytes === 0
      release(keepBytes)
    },
  }
  return incoming
}

/** The work of each call begins when that of the one before it is over. */
function inTurn<Given extends unknown[], Result>(work: (...given: Given) => Promise<Result>): (...given: Given) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve()
  return async (...given) => {
    const next = async (): Promise<Result> => work(...given)
    const done = last.then(next, next)
    last = done
    return done
  }
}

/** What was taken of a message already, and all that comes behind it. @throws ProtocolError LIMIT_EXCEEDED; what its `next` and `hold` throw */
export async function collect(incoming: IncomingMessage, taken: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const { length, open } = incoming
  if (open != null || length == null) {
    return collectOpen(incoming, open as OpenBeginning, maxBytes)
  }
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

/** An open message as it is where its length comes first. */
async function collectOpen(incoming: IncomingMessage, { field, head }: OpenBeginning, maxBytes: number): Promise<Uint8Array> {
  const blocks: Uint8Array[] = []
  let size = 0
  for (let bytes = await incoming.next(); bytes != null; bytes = await incoming.next()) {
    const before = size
    size += bytes.byteLength
    if (head.byteLength + size > maxBytes) {
      throw tooLarge(head.byteLength + size, maxBytes, 'from the peer')
    }
    if (before <= SMALL_MESSAGE_BYTES && size > SMALL_MESSAGE_BYTES) {
      // for as much as it may become: many that have a part and wait for the rest wait for each other
      await incoming.hold(maxBytes)
    }
    fill(blocks, before, bytes)
  }
  const prefix = prefixOf(field, size)
  const whole = new Uint8Array(head.byteLength + prefix.byteLength + size)
  if (whole.byteLength > maxBytes) {
    throw tooLarge(whole.byteLength, maxBytes, 'from the peer')
  }
  whole.set(head)
  whole.set(prefix, head.byteLength)
  let at = head.byteLength + prefix.byteLength
  for (const block of blocks) {
    whole.set(block.subarray(0, whole.byteLength - at), at)
    at += block.byteLength
  }
  if (size > SMALL_MESSAGE_BYTES) {
    incoming.release(whole.byteLength)
  }
  return whole
}

/** Copies bytes behind those that are there: chunks may be of one byte, each of which would cost a hundred times as much. */
function fill(blocks: Uint8Array[], filled: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength; ) {
    const from = (filled + at) % SMALL_MESSAGE_BYTES
    if (from === 0) {
      blocks.push(new Uint8Array(SMALL_MESSAGE_BYTES))
    }
    const part = bytes.subarray(at, at + SMALL_MESSAGE_BYTES - from)
    blocks.at(-1)?.set(part, from)
    at += part.byteLength
  }
}

/** Takes a message to its end, of which nobody wants more. */
export async function discard(incoming: IncomingMessage): Promise<void> {
  while ((await incoming.next()) != null) {
    // the next
  }
}
