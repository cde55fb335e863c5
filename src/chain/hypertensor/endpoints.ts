import { UsageError } from '../../primitives/errors.ts'

const MAX_ENDPOINTS = 8
const HINT = '--chain hypertensor:ws://host:9944; further endpoints, separated by commas, are asked when the first cannot be'

/** Reads `ws://host:port,wss://…`, what follows `hypertensor:` in a chain's URL: 1 to 8 endpoints, none twice. @throws UsageError */
export function parseEndpoints(text: string): string[] {
  const endpoints = [...new Set(text.split(',').map(parseEndpoint))]
  if (endpoints.length > MAX_ENDPOINTS) {
    throw new UsageError(`${endpoints.length} endpoints are over the limit of ${MAX_ENDPOINTS}`, { hint: HINT })
  }
  return endpoints
}

function parseEndpoint(text: string): string {
  const url = /^wss?:\/\/[^\s#]+$/i.test(text) && URL.canParse(text) ? new URL(text) : undefined
  if (url == null) {
    throw new UsageError(`not an endpoint of a chain: ${JSON.stringify(text)}`, { hint: HINT })
  }
  return url.href
}

/** An endpoint as it may be shown: without a name, a password or a key that its URL may hold. */
export function nameOf(endpoint: string): string {
  const { protocol, host, pathname } = new URL(endpoint)
  return `${protocol}//${host}${pathname === '/' ? '' : pathname}`
}
