import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import { promisify } from 'node:util'
import ipaddr from 'ipaddr.js'
import { kindOfIp } from '../../primitives/address-kind.ts'
import type { NetworkInterfaces } from '../dial/dial-policy.ts'
import type { Place } from './gateway.ts'

const LINUX_ROUTES = '/proc/net/route'
/** Flags of a Linux route: up, via a gateway. */
const UP_TO_GATEWAY = 0x3
/** Limits of the program that lists the routes: time in milliseconds, and output in bytes. */
const LISTING = { timeout: 2_000, maxBuffer: 1 << 20 }

/** The IPv4 default gateways in the machine's order of preference. Empty if its routes are unknown. */
export async function defaultGateways(): Promise<string[]> {
  if (process.platform === 'linux') {
    return linuxGateways(await readFile(LINUX_ROUTES, 'utf8').catch(() => ''))
  }
  // available on macOS, the BSDs and Windows
  const { stdout } = await promisify(execFile)('netstat', ['-rn'], LISTING).catch(() => ({ stdout: '' }))
  return listedGateways(stdout)
}

/** Parses `/proc/net/route`. Its hexadecimal numbers are in host byte order, which is little-endian on all platforms of Node. */
export function linuxGateways(table: string): string[] {
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, to, , flags, , , , mask]) =>
        to === '00000000' && mask === '00000000' && (Number.parseInt(flags ?? '', 16) & UP_TO_GATEWAY) === UP_TO_GATEWAY,
    )
    .sort((a, b) => Number(a[6]) - Number(b[6]))
    .flatMap(([, , gateway = '']) => Buffer.from(gateway, 'hex').reverse().join('.'))
    .filter(isIPv4)
}

/** Parses the output of `netstat -rn`: `default 192.168.1.1 …` on macOS and the BSDs, `0.0.0.0 0.0.0.0 192.168.1.1 …` on Windows. */
export function listedGateways(table: string): string[] {
  return table
    .split('\n')
    .map((line) => /^\s*(?:default|0\.0\.0\.0\s+0\.0\.0\.0)\s+(\S+)/.exec(line)?.[1] ?? '')
    .filter(isIPv4)
}

/** The router of this machine's private network. Undefined without a private network, or if the default gateway is not in it. */
export function placeOf(gateways: string[], interfaces: ReturnType<NetworkInterfaces>): Place | undefined {
  const own = Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal, address }) => family === 'IPv4' && !internal && kindOfIp(address) === 'private')
  for (const router of gateways.filter((gateway) => kindOfIp(gateway) === 'private')) {
    const near = own.find(
      ({ address, cidr }) => cidr != null && address !== router && ipaddr.IPv4.parse(router).match(ipaddr.IPv4.parseCIDR(cidr)),
    )
    if (near != null) {
      return { router, localAddress: near.address }
    }
  }
  return undefined
}
