import { checkChain } from '../chain/chain-url.ts'
import type { Settings } from '../node/home/config.ts'
import { LEFT_OUT, markedUrl, shownUrl } from '../primitives/shown-url.ts'

/** The placeholder for an address that only the reader knows. */
const ANY_ADDRESS = 'MULTIADDR'

/**
 * The command that publishes an address from another machine, which has the node owner's key. The key does not belong on a server.
 * @param address undefined if not known yet
 */
export function publishCommand({ chain, subnetId }: Pick<Settings, 'chain' | 'subnetId'>, peerId: string, address?: string): string {
  const target = address ?? `${ANY_ADDRESS}/p2p/${peerId}`
  return `subnet chain publish ${target} --chain ${endpointsFor(chain)} --subnet-id ${subnetId} --owner-key FILE`
}

/** The endpoints of a chain. The reader fills in an endpoint with a path, a query or a user, because it may hold a secret. */
function endpointsFor(chain: string): string {
  const location = checkChain(chain)
  if (location.names === 'file') {
    return chain
  }
  const isPlain = location.endpoints.every((endpoint) => !markedUrl(endpoint).endsWith(LEFT_OUT))
  return `${location.driver}:${isPlain ? location.endpoints.map(shownUrl).join(',') : '<your endpoint>'}`
}
