import { UsageError } from '../../primitives/errors.ts'
import { LEFT_OUT, shownUrl } from '../../primitives/shown-url.ts'

const MAX_ENDPOINTS = 8
const HINT = 'use --chain hypertensor:ws://host:9944; further endpoints, separated by commas, are used when the first fails'

/**
 * Parses `ws://host:port,wss://…`, the part after `hypertensor:` in a chain's URL: 1 to 8 endpoints without duplicates.
 * @throws UsageError
 */
export function parseEndpoints(text: string): string[] {
  const endpoints = [...new Set(text.split(',').map(parseEndpoint))]
  if (endpoints.length > MAX_ENDPOINTS) {
    throw new UsageError(`${endpoints.length} endpoints are over the limit of ${MAX_ENDPOINTS}`, { hint: HINT })
  }
  return endpoints
}

function parseEndpoint(text: string): string {
  const url = /^wss?:\/\/[^\s#]+$/i.test(text) && URL.canParse(text) ? new URL(text) : undefined
  if (text.includes(LEFT_OUT)) {
    throw new UsageError(`an endpoint of the chain contains "${LEFT_OUT}", which replaces secrets where a URL is shown`, {
      hint: 'the full URL is in config.json of the home, or in SUBNET_CHAIN',
    })
  }
  if (url == null) {
    // the message omits the text: a misspelled URL may contain a key too
    throw new UsageError('an endpoint of the chain must be a URL that begins with ws:// or wss://, without spaces or #', { hint: HINT })
  }
  return url.href
}

/** An endpoint in the form for messages: scheme, host and port. Its path, query and user may contain a key. */
export function nameOf(endpoint: string): string {
  return shownUrl(endpoint)
}
