import { CHAIN_DRIVERS, splitChain } from '../../chain/chain-url.ts'
import { LEFT_OUT, markedUrl, shownUrl } from '../../primitives/shown-url.ts'

/** A chain's URL as it is shown: a ledger's file, or scheme, host and port of each endpoint. What names neither is not shown at all. */
export function shownChain(url: string): string {
  return chainWith(url, (endpoint) => (URL.canParse(endpoint) ? shownUrl(endpoint) : LEFT_OUT))
}

/** The same with `/…` where an endpoint has more than that: for a list of settings, which nobody should take for the value itself. */
export function markedChain(url: string): string {
  return chainWith(url, markedUrl)
}

function chainWith(url: string, show: (endpoint: string) => string): string {
  const split = splitChain(url)
  if (split == null) {
    return LEFT_OUT
  }
  const { driver, rest } = split
  if (CHAIN_DRIVERS[driver].names === 'file') {
    return url
  }
  const endpoints = rest.split(',').map((endpoint) => (/^wss?:\/\//i.test(endpoint) ? show(endpoint) : LEFT_OUT))
  return `${driver}:${endpoints.join(',')}`
}
