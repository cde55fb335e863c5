import { resolve } from 'node:path'
import type { Settings } from '../node/config.ts'
import type { Home } from '../node/home.ts'
import type { NodeSettingsAnswer } from './session.ts'

/** The settings that a command may name too, in the one spelling in which two of them can be compared. */
export function nodeSettings(settings: Settings, home: Home): NodeSettingsAnswer {
  const { bootstrap, subnetId, network, chain, key, maxFrameBytes } = settings
  const [, file] = /^ledger:(.*)$/.exec(chain) ?? []
  return {
    bootstrap: [...new Set(bootstrap)].sort(),
    subnetId,
    network,
    chain: file == null ? chain : `ledger:${resolve(file || home.ledgerFile)}`,
    key: resolve(key ?? home.identityFile),
    maxFrameBytes,
  }
}
