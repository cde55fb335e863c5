import { NoSubnetError } from '../registry.ts'
import { type HypertensorChain, LayoutError } from './hypertensor-chain.ts'
import type { Layout } from './layout.ts'

/** An answer and its block. */
export interface AtBlock<T> {
  value: T
  block: number
}

/** An answer, and the reason to doubt it: an empty or odd answer may result from an outdated layout. */
export interface Finding<T> extends AtBlock<T> {
  layout: Layout
  doubt?: 'nothing' | 'odd' | undefined
}

const MAX_ATTEMPTS = 3

/** Reads again if the runtime, and with it the layout, has changed. @throws ChainError, NoSubnetError; the signal's reason */
export async function certain<T>(chain: HypertensorChain, signal: AbortSignal, look: () => Promise<Finding<T>>): Promise<AtBlock<T>> {
  for (let attempt = 1; ; attempt++) {
    const found = await look().catch((error: unknown) => error)
    const doubtful = found instanceof Error ? await doubtOf(chain, found, signal) : (found as Finding<T>)
    const { layout, doubt } = doubtful
    if (doubt == null || attempt >= MAX_ATTEMPTS || (await chain.isCurrent(layout, signal, doubt === 'odd'))) {
      if (found instanceof Error) {
        throw found
      }
      const { value, block } = found as Finding<T>
      return { value, block }
    }
  }
}

/** @throws the error itself if another layout would not change it */
async function doubtOf(chain: HypertensorChain, error: Error, signal: AbortSignal): Promise<Pick<Finding<unknown>, 'layout' | 'doubt'>> {
  if (error instanceof LayoutError) {
    return { layout: error.layout, doubt: 'odd' }
  }
  if (error instanceof NoSubnetError) {
    return { layout: await chain.layout(signal), doubt: 'nothing' }
  }
  throw error
}
