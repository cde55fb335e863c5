import { isIP, isIPv6 } from 'node:net'

/** Where the metrics of a node are served. */
export interface MetricsAddress {
  /** An IP address, or a name. */
  host: string
  /** 0 takes a free one. */
  port: number
}

const LOOPBACK = '127.0.0.1'
const MAX_PORT = 65_535
const NAME = /^(?!-)[a-z\d-]{1,63}(\.[a-z\d-]{1,63})*$/i

/** Reads `HOST:PORT`; `:PORT` and a port alone are on loopback. @throws Error that says what is expected */
export function parseMetricsAddress(text: string): MetricsAddress {
  const [, bracketed, plain, digits] = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  const host = bracketed ?? (plain || LOOPBACK)
  const isHost = bracketed == null ? isIP(host) === 4 || (NAME.test(host) && !/^[\d.]+$/.test(host)) : isIPv6(bracketed)
  if (!(port <= MAX_PORT && isHost)) {
    throw new Error('HOST:PORT, as 127.0.0.1:9464 or [::1]:9464; a port alone is on loopback')
  }
  return { host, port }
}

/** In the one spelling in which `config` shows it. */
export function formatMetricsAddress({ host, port }: MetricsAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`
}
