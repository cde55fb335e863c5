import { CHAIN_DRIVERS, splitChain } from '../../chain/chain-url.ts'
import { LEFT_OUT, markedUrl, shownUrl } from '../../primitives/shown-url.ts'

/** The URL of a chain for display: a ledger's file, or scheme, host and port of each endpoint. Other parts are hidden. */
export function shownChain(url: string): string {
  return chainWith(url, (endpoint) => (URL.canParse(endpoint) ? shownUrl(endpoint) : LEFT_OUT))
}

/** Like `shownChain`, but marks hidden parts with `/…`, so that a list of settings is not mistaken for the real values. */
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
