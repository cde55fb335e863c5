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

/** Options to open a chain with paid writes. An account signs its transactions, so the peer's private key is not needed. */
export interface PaidRegistryInit extends Pick<RegistryInit, 'home' | 'log'> {
  subnetId: number
  /** The peer to publish for: the peer of this home or another one. */
  self: PeerId
}

const OPENERS: {
  [Name in ChainDriverName]: (location: Extract<ChainLocation, { driver: Name }>, init: RegistryInit) => Promise<ChainRegistry>
} = {
  ledger: async (location, { home, settings: { subnetId }, privateKey, log }) => {
    const file = location.file || home.ledgerFile
    // SQLite does not report a missing working directory
    fullPath(file)
    return new LedgerRegistry({ file, subnetId, privateKey, log })
  },
  hypertensor: async (location, { home, settings: { subnetId }, privateKey, log }) =>
    openPaidRegistry(location, { home, subnetId, self: peerIdFromPublicKey(privateKey.publicKey), log }),
}

/** Opens the chain of a URL with the driver of its scheme. Does not connect yet. @throws UsageError */
export async function openRegistry(init: RegistryInit): Promise<ChainRegistry> {
  const location = checkChain(init.settings.chain)
  const open = OPENERS[location.driver] as (location: ChainLocation, init: RegistryInit) => Promise<ChainRegistry>
  return open(location, { ...init, log: init.log.scoped('chain') })
}

/** Opens a chain with paid writes. Does not connect yet. */
export async function openPaidRegistry(
  { endpoints }: Extract<ChainLocation, { writes: 'paid' }>,
  { home, ...init }: PaidRegistryInit,
): Promise<ChainRegistry> {
  // loaded lazily: the chain's libraries take longer to load than most commands run
  const { HypertensorRegistry } = await import('../chain/drivers/hypertensor.ts')
  return new HypertensorRegistry({
    ...init,
    endpoints,
    cacheFolder: home.chainCacheFolder,
    openDatabase: async () => openHomeDatabase(home),
  })
}
