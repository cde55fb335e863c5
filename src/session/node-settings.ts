import { CHAIN_DRIVERS, splitChain } from '../chain/chain-url.ts'
import type { Settings } from '../node/home/config.ts'
import type { Home } from '../node/home/home.ts'
import { fullPath } from '../primitives/full-path.ts'
import type { NodeSettingsAnswer } from './session.ts'

/** The node settings that a command may also set, normalised for comparison. */
export function nodeSettings(settings: Settings, home: Home): NodeSettingsAnswer {
  const { bootstrap, subnetId, network, chain, key, maxFrameBytes } = settings
  return {
    bootstrap: [...new Set(bootstrap)].sort(),
    subnetId,
    network,
    chain: withFullPath(chain, home),
    key: fullPath(key ?? home.identityFile),
    maxFrameBytes,
  }
}

function withFullPath(chain: string, home: Home): string {
  const split = splitChain(chain)
  return split == null || CHAIN_DRIVERS[split.driver].names !== 'file'
    ? chain
    : `${split.driver}:${fullPath(split.rest || home.ledgerFile)}`
}
