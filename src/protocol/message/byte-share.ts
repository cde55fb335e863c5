import type { PeerShare, Release } from '../api/limits.ts'
import type { ReadOptions } from '../api/message-stream.ts'

/** Messages up to this never wait for the byte budget: large ones that crawl in must not keep small ones from being served. */
export const SMALL_MESSAGE_BYTES = 64 * 1024

/** Gives back the share of a small message. */
export function nothingHeld(): void {
  // it has none
}

/** Takes a message's share of the byte budget; gives what gives it back. @throws the reason of the signal, or of the call's end */
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
