import type { Settings } from '../node/config.ts'
import { checkChain } from '../node/open-registry.ts'

/** A part of the command that only its reader knows. */
const ANY_ADDRESS = 'MULTIADDR'

/**
 * The command that publishes an address from another machine, where the key of the node's owner is: that key has no business on a server.
 * @param address undefined where it is not known yet
 */
export function publishCommand({ chain, subnetId }: Pick<Settings, 'chain' | 'subnetId'>, peerId: string, address?: string): string {
  const target = address ?? `${ANY_ADDRESS}/p2p/${peerId}`
  return `subnet chain publish ${target} --chain ${shownChain(chain)} --subnet-id ${subnetId} --owner-key FILE`
}

/** What the path, the query or the user of an endpoint's URL may be, is for nobody else to see: such an endpoint is left to the reader. */
function shownChain(chain: string): string {
  const location = checkChain(chain)
  if (location.driver !== 'hypertensor') {
    return chain
  }
  const urls = location.endpoints.map((endpoint) => new URL(endpoint))
  const isPlain = urls.every(({ pathname, search, username, password }) => pathname === '/' && `${search}${username}${password}` === '')
  return `hypertensor:${isPlain ? urls.map(({ protocol, host }) => `${protocol}//${host}`).join(',') : '<your endpoint>'}`
}
