import { isIP, isIPv6 } from 'node:net'

/** The address that a node's metrics are served on. */
export interface MetricsAddress {
  /** An IP address or a host name. */
  host: string
  /** 0 selects a free port. */
  port: number
}

const LOOPBACK = '127.0.0.1'
const MAX_PORT = 65_535
const NAME = /^(?!-)[a-z\d-]{1,63}(\.[a-z\d-]{1,63})*$/i

/** Parses `HOST:PORT`. `:PORT` and a bare port mean loopback. @throws Error that states the expected format */
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

/** The canonical form, as shown by `config`. */
export function formatMetricsAddress({ host, port }: MetricsAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`
}
