import { isIP } from 'node:net'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { LedgerRegistry } from '../chain/drivers/ledger.ts'
import { parseEndpoints } from '../chain/hypertensor/endpoints.ts'
import type { ChainRegistry } from '../chain/registry.ts'
import { type IpKind, kindOfIp, type NamedOver } from '../primitives/address-kind.ts'
import { UsageError } from '../primitives/errors.ts'
import { fullPath } from '../primitives/full-path.ts'
import type { Logger } from '../primitives/log.ts'
import type { Settings } from './home/config.ts'
import type { Home } from './home/home.ts'
import { openHomeDatabase } from './home/home-database.ts'

export interface RegistryInit {
  home: Home
  settings: Pick<Settings, 'chain' | 'subnetId'>
  privateKey: PrivateKey
  log: Logger
}

/** What a chain's URL names: a ledger's file, empty for the one in the home, or the endpoints of a Hypertensor chain. */
export type ChainLocation = { driver: 'ledger'; file: string } | { driver: 'hypertensor'; endpoints: string[] }

/** Opens the chain of a URL, its driver chosen by the scheme. Nothing is connected yet. @throws UsageError */
export async function openRegistry({ home, settings, privateKey, log }: RegistryInit): Promise<ChainRegistry> {
  const { subnetId } = settings
  const location = checkChain(settings.chain)
  if (location.driver === 'ledger') {
    const file = location.file || home.ledgerFile
    // SQLite would not say that the working directory is gone
    fullPath(file)
    return new LedgerRegistry({ file, subnetId, privateKey, log })
  }
  const { endpoints } = location
  return openHypertensor({ home, endpoints, subnetId, self: peerIdFromPublicKey(privateKey.publicKey), log })
}

export interface HypertensorRegistryInit extends Pick<RegistryInit, 'home' | 'log'> {
  endpoints: string[]
  subnetId: number
  self: PeerId
}

/** Opens a Hypertensor chain, for which no key of the peer itself is needed. Nothing is connected yet. */
export async function openHypertensor({ home, ...init }: HypertensorRegistryInit): Promise<ChainRegistry> {
  // its libraries take longer to load than most commands do
  const { HypertensorRegistry } = await import('../chain/drivers/hypertensor.ts')
  return new HypertensorRegistry({
    ...init,
    cacheFolder: home.chainCacheFolder,
    openDatabase: async () => openHomeDatabase(home),
  })
}

/**
 * The source of addresses that a chain names. The ledger is the user's own. Of a Hypertensor chain the farthest endpoint counts, as for peers
 * the connection does.
 */
export function namedOverChain(url: string): NamedOver {
  const location = checkChain(url)
  if (location.driver === 'ledger') {
    return 'trusted'
  }
  const kinds = location.endpoints.map(kindOfEndpoint)
  return kinds.every((kind) => kind === 'loopback')
    ? 'loopback'
    : kinds.every((kind) => kind === 'loopback' || kind === 'private')
      ? 'private'
      : 'stranger'
}

/** Whether a chain makes blocks by itself, which a running node follows. A ledger does not. */
export function isFollowed(url: string): boolean {
  return checkChain(url).driver === 'hypertensor'
}

/** Undefined for a name. */
function kindOfEndpoint(endpoint: string): IpKind | undefined {
  const host = new URL(endpoint).hostname.replace(/^\[(.*)\]$/, '$1')
  return host === 'localhost' ? 'loopback' : isIP(host) === 0 ? undefined : kindOfIp(host)
}

/** Where a chain's URL points to. @throws UsageError when it is none that is known here */
export function checkChain(url: string): ChainLocation {
  const [, scheme, rest = ''] = /^(ledger|hypertensor):(.*)$/s.exec(url) ?? []
  switch (scheme) {
    case 'ledger':
      return { driver: 'ledger', file: rest }
    case 'hypertensor':
      return { driver: 'hypertensor', endpoints: parseEndpoints(rest) }
    default:
      // not what it is: it may be an endpoint with a key in it, whose scheme was forgotten
      throw new UsageError('not a chain that is known here: its URL begins neither with ledger: nor with hypertensor:', {
        hint: 'ledger:/path/file.db names a ledger that nodes share, ledger: alone the one in the home; hypertensor:ws://host:9944 a chain',
      })
  }
}
