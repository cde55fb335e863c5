import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { type ChainDriverName, type ChainLocation, checkChain } from '../chain/chain-url.ts'
import { LedgerRegistry } from '../chain/drivers/ledger.ts'
import type { ChainRegistry } from '../chain/registry.ts'
import type { Logger } from '../observe/logger.ts'
import { fullPath } from '../primitives/full-path.ts'
import type { Settings } from './home/config.ts'
import type { Home } from './home/home.ts'
import { openHomeDatabase } from './home/home-database.ts'

export interface RegistryInit {
  home: Home
  settings: Pick<Settings, 'chain' | 'subnetId'>
  privateKey: PrivateKey
  log: Logger
}

/** What opens a chain that is paid for: an account signs there, so that no key of the peer is needed. */
export interface PaidRegistryInit extends Pick<RegistryInit, 'home' | 'log'> {
  subnetId: number
  /** The peer for which is published: this home's or another. */
  self: PeerId
}

const OPENERS: {
  [Name in ChainDriverName]: (location: Extract<ChainLocation, { driver: Name }>, init: RegistryInit) => Promise<ChainRegistry>
} = {
  ledger: async (location, { home, settings: { subnetId }, privateKey, log }) => {
    const file = location.file || home.ledgerFile
    // SQLite would not say that the working directory is gone
    fullPath(file)
    return new LedgerRegistry({ file, subnetId, privateKey, log })
  },
  hypertensor: async (location, { home, settings: { subnetId }, privateKey, log }) =>
    openPaidRegistry(location, { home, subnetId, self: peerIdFromPublicKey(privateKey.publicKey), log }),
}

/** Opens the chain of a URL, its driver chosen by the scheme. Nothing is connected yet. @throws UsageError */
export async function openRegistry(init: RegistryInit): Promise<ChainRegistry> {
  const location = checkChain(init.settings.chain)
  const open = OPENERS[location.driver] as (location: ChainLocation, init: RegistryInit) => Promise<ChainRegistry>
  return open(location, { ...init, log: init.log.scoped('chain') })
}

/** Opens a chain that is paid for. Nothing is connected yet. */
export async function openPaidRegistry(
  { endpoints }: Extract<ChainLocation, { writes: 'paid' }>,
  { home, ...init }: PaidRegistryInit,
): Promise<ChainRegistry> {
  // its libraries take longer to load than most commands do
  const { HypertensorRegistry } = await import('../chain/drivers/hypertensor.ts')
  return new HypertensorRegistry({
    ...init,
    endpoints,
    cacheFolder: home.chainCacheFolder,
    openDatabase: async () => openHomeDatabase(home),
  })
}
