import type { PeerShare, Release } from '../api/limits.ts'
import type { ReadOptions } from '../api/message-stream.ts'

/** Messages up to this size never wait for the byte budget, so that slow large messages do not block small ones. */
export const SMALL_MESSAGE_BYTES = 64 * 1024

/** Releases the share of a small message. */
export function nothingHeld(): void {
  // small messages hold no share
}

/**
 * Reserves a message's share of the byte budget. Returns a function that releases it. @throws the reason of the signal or of the call's end
 */
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
