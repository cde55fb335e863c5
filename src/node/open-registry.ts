import type { PrivateKey } from '@libp2p/interface'
import { LedgerRegistry } from '../chain/drivers/ledger.ts'
import type { ChainRegistry } from '../chain/registry.ts'
import { UsageError } from '../primitives/errors.ts'
import type { Logger } from '../primitives/log.ts'
import type { Settings } from './config.ts'
import type { Home } from './home.ts'

export interface RegistryInit {
  home: Home
  settings: Pick<Settings, 'chain' | 'subnetId'>
  privateKey: PrivateKey
  log: Logger
}

/** Opens the chain of a URL, its driver chosen by the scheme. Nothing is connected yet. @throws UsageError */
export function openRegistry({ home, settings, privateKey, log }: RegistryInit): ChainRegistry {
  return new LedgerRegistry({ file: checkChain(settings.chain) || home.ledgerFile, subnetId: settings.subnetId, privateKey, log })
}

/** What stands behind the scheme of a chain's URL. @throws UsageError when it is none that is known here */
export function checkChain(url: string): string {
  const [, rest] = /^ledger:(.*)$/.exec(url) ?? []
  if (rest == null) {
    throw new UsageError(`not a chain that is known here: ${JSON.stringify(url)}`, {
      hint: '--chain ledger:/path/file.db names a ledger that nodes share; ledger: alone is the one in the home',
    })
  }
  return rest
}
