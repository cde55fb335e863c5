import type { Settings } from '../node/home/config.ts'
import type { Home } from '../node/home/home.ts'
import { fullPath } from '../primitives/full-path.ts'
import type { NodeSettingsAnswer } from './session.ts'

/** The settings that a command may name too, in the one spelling in which two of them can be compared. */
export function nodeSettings(settings: Settings, home: Home): NodeSettingsAnswer {
  const { bootstrap, subnetId, network, chain, key, maxFrameBytes } = settings
  const [, file] = /^ledger:(.*)$/.exec(chain) ?? []
  return {
    bootstrap: [...new Set(bootstrap)].sort(),
    subnetId,
    network,
    chain: file == null ? chain : `ledger:${fullPath(file || home.ledgerFile)}`,
    key: fullPath(key ?? home.identityFile),
    maxFrameBytes,
  }
}
