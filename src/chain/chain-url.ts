import { UsageError } from '../primitives/errors.ts'
import { parseEndpoints } from './hypertensor/endpoints.ts'
import type { ChainRegistry } from './registry.ts'

/** What is known of a chain driver before a chain is opened. */
export interface ChainDriver extends Pick<ChainRegistry, 'writes'> {
  /** What follows the scheme in its URLs: the path of a file, which the home has one of by default, or 1 to 8 WebSocket endpoints with commas between. */
  names: 'file' | 'endpoints'
}

/** The drivers by the scheme of their URLs. `node/open-registry.ts` opens each of them. */
export const CHAIN_DRIVERS = {
  ledger: { writes: 'free', names: 'file' },
  hypertensor: { writes: 'paid', names: 'endpoints' },
} as const satisfies Record<string, ChainDriver>

/** The name of a driver, which is the scheme of its URLs. */
export type ChainDriverName = keyof typeof CHAIN_DRIVERS

type Driver<Name extends ChainDriverName> = (typeof CHAIN_DRIVERS)[Name]
type Place<Names> = Names extends 'file' ? { file: string } : { endpoints: string[] }

/** Where a chain's URL points to, and what is known of its driver. A file is empty for the one in the home. */
export type ChainLocation = { [Name in ChainDriverName]: { driver: Name } & Driver<Name> & Place<Driver<Name>['names']> }[ChainDriverName]

/** The driver of a URL, and what follows its scheme; undefined for a URL of no driver. */
export function splitChain(url: string): { driver: ChainDriverName; rest: string } | undefined {
  const colon = url.indexOf(':')
  const scheme = url.slice(0, Math.max(0, colon))
  return Object.hasOwn(CHAIN_DRIVERS, scheme) ? { driver: scheme as ChainDriverName, rest: url.slice(colon + 1) } : undefined
}

/** Where a chain's URL points to. @throws UsageError when it is none that is known here */
export function checkChain(url: string): ChainLocation {
  const split = splitChain(url)
  if (split == null) {
    // not what it is: it may be an endpoint with a key in it, whose scheme was forgotten
    throw new UsageError('not a chain that is known here: its URL begins neither with ledger: nor with hypertensor:', {
      hint: 'ledger:/path/file.db names a ledger that nodes share, ledger: alone the one in the home; hypertensor:ws://host:9944 a chain',
    })
  }
  const { driver, rest } = split
  const known: ChainDriver = CHAIN_DRIVERS[driver]
  const place = known.names === 'file' ? { file: rest } : { endpoints: parseEndpoints(rest) }
  return { driver, ...known, ...place } as ChainLocation
}
