import { ChainError } from '../registry.ts'
import type { HypertensorChain } from './hypertensor-chain.ts'
import { readHex } from './storage-reader.ts'

const MAX_KEYS = 10_000
/** The page size limit of a node. */
const KEYS_PER_PAGE = 1_000
const MAX_KEY_BYTES = 1_024

/** All keys with this prefix, in order. @throws ChainError; the signal's reason */
export async function keysBelow({ rpc }: HypertensorChain, prefix: string, signal: AbortSignal): Promise<string[]> {
  const keys: string[] = []
  for (;;) {
    const after = keys.at(-1) ?? null
    const read = (answer: unknown): string[] => readKeys(answer, prefix, after)
    const page = await rpc.call('state_getKeysPaged', [prefix, KEYS_PER_PAGE, after], { signal, read })
    keys.push(...page)
    if (keys.length > MAX_KEYS) {
      throw new ChainError(`chain ${rpc.endpoint}: the subnet has more than ${MAX_KEYS} nodes: they are not read`)
    }
    if (page.length < KEYS_PER_PAGE) {
      return keys
    }
  }
}

/** Reads a page of keys. Each key must have the prefix and follow the previous key. @throws Error */
function readKeys(answer: unknown, prefix: string, after: string | null): string[] {
  if (!Array.isArray(answer) || answer.length > KEYS_PER_PAGE) {
    throw new Error('no page of keys')
  }
  let last = after
  return answer.map((each) => {
    const key = readHex(each, MAX_KEY_BYTES)
    if (!key.startsWith(prefix) || (last != null && key <= last)) {
      throw new Error('a key that was not asked for')
    }
    last = key
    return key
  })
}
