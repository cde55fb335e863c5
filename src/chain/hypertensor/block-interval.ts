import type { Layout } from './layout.ts'

/** The constants that hold the block time in milliseconds, depending on the runtime. */
const CONSTANTS = [
  ['Aura', 'SlotDuration'],
  ['Babe', 'ExpectedBlockTime'],
] as const
const MAX_INTERVAL_MS = 86_400_000

/** The time between two blocks in milliseconds, from the constants of the runtime; undefined without such a constant. */
export function blockIntervalOf({ metadata, builder }: Layout['runtime']): number | undefined {
  for (const [pallet, name] of CONSTANTS) {
    const constant = metadata.pallets.find((each) => each.name === pallet)?.constants.find((each) => each.name === name)
    const value = constant == null ? undefined : readMs(() => builder.buildConstant(pallet, name).dec(constant.value))
    if (value != null) {
      return value
    }
  }
  return undefined
}

function readMs(decode: () => unknown): number | undefined {
  try {
    const value = Number(decode())
    return value > 0 && value <= MAX_INTERVAL_MS ? value : undefined
  } catch {
    return undefined
  }
}
