import { checkChain } from '../chain/chain-url.ts'
import type { Settings } from '../node/home/config.ts'
import { LEFT_OUT, markedUrl, shownUrl } from '../primitives/shown-url.ts'

/** A part of the command that only its reader knows. */
const ANY_ADDRESS = 'MULTIADDR'

/**
 * The command that publishes an address from another machine, where the key of the node's owner is: that key has no business on a server.
 * @param address undefined where it is not known yet
 */
export function publishCommand({ chain, subnetId }: Pick<Settings, 'chain' | 'subnetId'>, peerId: string, address?: string): string {
  const target = address ?? `${ANY_ADDRESS}/p2p/${peerId}`
  return `subnet chain publish ${target} --chain ${endpointsFor(chain)} --subnet-id ${subnetId} --owner-key FILE`
}

/** An endpoint with a path, a query or a user may hold a secret: its reader fills it in. */
function endpointsFor(chain: string): string {
  const location = checkChain(chain)
  if (location.names === 'file') {
    return chain
  }
  const isPlain = location.endpoints.every((endpoint) => !markedUrl(endpoint).endsWith(LEFT_OUT))
  return `${location.driver}:${isPlain ? location.endpoints.map(shownUrl).join(',') : '<your endpoint>'}`
}
