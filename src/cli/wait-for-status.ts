import { setTimeout as delay } from 'node:timers/promises'
import { SubnetError } from '../primitives/errors.ts'
import type { StatusAnswer } from '../session/answers.ts'

const LOOK_EVERY_MS = 250
/** Temporary failures: the node is starting, stopping, or too busy to answer. */
const PASSING: ReadonlyArray<SubnetError['code']> = ['NOT_RUNNING', 'ALREADY_RUNNING', 'TIMEOUT']

/**
 * Polls the node until it answers that it is healthy, for at most `waitMs`. Returns the last status.
 * @throws the last failure if the node never answered; the signal's reason
 */
export async function waitForStatus(
  ask: (timeoutMs: number) => Promise<StatusAnswer>,
  waitMs: number,
  signal: AbortSignal,
): Promise<StatusAnswer> {
  const giveUpAtMs = performance.now() + waitMs
  let last: StatusAnswer | undefined
  for (;;) {
    const { status, failure } = await attempt(async () => ask(Math.max(1, Math.ceil(giveUpAtMs - performance.now()))), signal)
    // a stopped node has no status; after a timeout the previous status stays
    last = status ?? (failure?.code === 'TIMEOUT' ? last : undefined)
    if (last?.healthy === true || performance.now() + LOOK_EVERY_MS > giveUpAtMs) {
      if (last == null) {
        throw failure
      }
      return last
    }
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}

/** @throws permanent failures; the signal's reason */
async function attempt(
  ask: () => Promise<StatusAnswer>,
  signal: AbortSignal,
): Promise<{ status: StatusAnswer | undefined; failure: SubnetError | undefined }> {
  try {
    return { status: await ask(), failure: undefined }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof SubnetError && PASSING.includes(error.code))) {
      throw error
    }
    return { status: undefined, failure: error }
  }
}
