import { checkChain } from '../chain/chain-url.ts'
import type { Settings } from '../node/home/config.ts'
import type { Home } from '../node/home/home.ts'
import { isOwnLedger } from '../node/home/own-ledger.ts'

/** The problem of a node that no peer can find. */
export const HIDDEN = {
  message: 'no peer can find this node by its ID: it has no bootstrap, and no address on a chain that other nodes read',
  hint: 'give it a --bootstrap, or a --chain that other nodes use and --publish',
}

/** True for a ledger that other nodes can read: publishing there costs nothing. */
export function isSharedLedger(chain: string, home: Home): boolean {
  return checkChain(chain).names === 'file' && !isOwnLedger(chain, home)
}

/** True if no peer can find a node with these settings by its ID. A Hypertensor chain may name bootnodes. */
export function isHidden({ bootstrap, mdns, publish, chain }: Settings, home: Home): boolean {
  return bootstrap.length === 0 && !mdns && checkChain(chain).names === 'file' && !(publish && isSharedLedger(chain, home))
}
