import { UsageError } from '../primitives/errors.ts'
import { parseEndpoints } from './hypertensor/endpoints.ts'
import type { ChainRegistry } from './registry.ts'

/** Properties of a chain driver that are known before a chain is opened. */
export interface ChainDriver extends Pick<ChainRegistry, 'writes'> {
  /** The part after the scheme: the path of a file, with a default in the home, or 1 to 8 WebSocket endpoints separated by commas. */
  names: 'file' | 'endpoints'
}

/** The drivers by URL scheme. `node/open-registry.ts` opens each driver. */
export const CHAIN_DRIVERS = {
  ledger: { writes: 'free', names: 'file' },
  hypertensor: { writes: 'paid', names: 'endpoints' },
} as const satisfies Record<string, ChainDriver>

/** The name of a driver, which is also its URL scheme. */
export type ChainDriverName = keyof typeof CHAIN_DRIVERS

type Driver<Name extends ChainDriverName> = (typeof CHAIN_DRIVERS)[Name]
type Place<Names> = Names extends 'file' ? { file: string } : { endpoints: string[] }

/** The location in a chain's URL, and the properties of its driver. An empty file stands for the file in the home. */
export type ChainLocation = { [Name in ChainDriverName]: { driver: Name } & Driver<Name> & Place<Driver<Name>['names']> }[ChainDriverName]

/** The driver of a URL and the part after its scheme; undefined for an unknown scheme. */
export function splitChain(url: string): { driver: ChainDriverName; rest: string } | undefined {
  const colon = url.indexOf(':')
  const scheme = url.slice(0, Math.max(0, colon))
  return Object.hasOwn(CHAIN_DRIVERS, scheme) ? { driver: scheme as ChainDriverName, rest: url.slice(colon + 1) } : undefined
}

/** Parses a chain's URL. @throws UsageError for an unknown chain */
export function checkChain(url: string): ChainLocation {
  const split = splitChain(url)
  if (split == null) {
    // the message omits the text: an endpoint without its scheme may contain a key
    throw new UsageError('unknown kind of chain: its URL begins neither with ledger: nor with hypertensor:', {
      hint: 'ledger: is the ledger in the home, ledger:/path/file.db is one that nodes share, hypertensor:ws://host:9944 is a chain',
    })
  }
  const { driver, rest } = split
  const known: ChainDriver = CHAIN_DRIVERS[driver]
  const place = known.names === 'file' ? { file: rest } : { endpoints: parseEndpoints(rest) }
  return { driver, ...known, ...place } as ChainLocation
}
