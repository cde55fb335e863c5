import { checkChain } from '../../chain/chain-url.ts'
import { fullPath } from '../../primitives/full-path.ts'
import type { Home } from './home.ts'

/** True if the chain is the ledger in this home, which no other node reads. @throws UsageError for an unknown chain */
export function isOwnLedger(chain: string, { ledgerFile }: Pick<Home, 'ledgerFile'>): boolean {
  const location = checkChain(chain)
  return location.names === 'file' && (location.file === '' || fullPath(location.file) === ledgerFile)
}

/** Advice if a peer was not found; undefined for a chain that other nodes may read. */
export function ownLedgerHint(chain: string, home: Pick<Home, 'ledgerFile'>): string | undefined {
  return isOwnLedger(chain, home)
    ? 'the chain of this node is the ledger in its home, which no other node reads: use --chain to name one that nodes share, or --bootstrap to ' +
        'name a peer that may know it'
    : undefined
}
