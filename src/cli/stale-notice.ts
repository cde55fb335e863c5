import type { ChainAnswer } from '../session/session.ts'

/** What stands above what a chain said before it went away. */
export function staleNotice({ stale, block }: ChainAnswer): string | undefined {
  return stale ? `the chain is away: this is what it said at block ${block}` : undefined
}
