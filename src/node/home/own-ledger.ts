import { checkChain } from '../../chain/chain-url.ts'
import { fullPath } from '../../primitives/full-path.ts'
import type { Home } from './home.ts'

/** True if the chain is the ledger in this home, which no other node reads. @throws UsageError for an unknown chain */
export function isOwnLedger(chain: string, { ledgerFile }: Pick<Home, 'ledgerFile'>): boolean {
  const location = checkChain(chain)
  return location.names === 'file' && (location.file === '' || fullPath(location.file) === ledgerFile)
}
