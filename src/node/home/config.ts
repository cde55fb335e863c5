import type { PeerId } from '@libp2p/interface'
import { NODE_CLASSES, type NodeClass } from '../../chain/registry.ts'
import { HEARTBEAT_BUDGET, HEARTBEAT_INTERVAL_MS } from '../../gossip/heartbeat-interval.ts'
import { LOG_LEVELS, type LogLevel, parseLogRule } from '../../observe/log-filter.ts'
import { LOG_FORMATS, type LogFormat } from '../../observe/log-format.ts'
import { parsePeerId, parsePeerMultiaddr } from '../../primitives/address.ts'
import { DEFAULT_TIMEOUT_MS } from '../../primitives/deadline.ts'
import { DEFAULT_LIMITS } from '../../protocol/api/limits.ts'
import { NETWORKS, type Network } from '../network/network.ts'
import { RELAY_SERVICE, type RelayService } from '../network/relay-service.ts'
import { formatMetricsAddress, parseMetricsAddress } from './metrics-address.ts'
import { parseAnnounce, parseListen } from './named-addresses.ts'
import { checkOwnerKeyName } from './owner-key.ts'
import { duration, integer, list, oneOf, onOff, type SettingKind, text } from './setting-kinds.ts'

/** Settings of a node and of its commands. Times in milliseconds. */
export interface Settings {
  bootstrap: string[]
  subnetId: number
  network: Network
  chain: string
  key: string | undefined
  listen: string[]
  announce: string[]
  handler: string | undefined
  protocol: string[]
  reflection: boolean
  heartbeatInterval: number
  /** Bytes per second. */
  heartbeatBudget: number
  publish: boolean
  /** Discover peers of the local network by mDNS. */
  mdns: boolean
  /** Ask the router of a private network to forward the port. A node from `createNode` does so only if this is set explicitly. */
  portMapping: boolean
  ownerKey: string | undefined
  /** Dial private and loopback addresses too, from any source. */
  allowPrivate: boolean
  /** The protocol ID of the DHT. All nodes of a subnet have the same. */
  kadProtocol: string | undefined
  /** Gossipsub's penalty for many peers behind one IP address, from -1,000 to 0, which is none; loopback is exempt. */
  gossipIpColocationWeight: number
  /** Maximum open inbound connections per IPv4 address or IPv6 /64. Undefined for the default, which does not limit loopback. */
  maxConnectionsPerIp: number | undefined
  relayService: RelayService
  /** Concurrent reservations, where this node is the relay. */
  relayReservations: number
  /** Bytes of one circuit over this node, both ways together. */
  relayBytes: number
  /** How long one circuit over this node lasts. */
  relayDuration: number
  admission: 'open' | 'registered'
  minClass: NodeClass
  admissionOnError: 'deny' | 'allow'
  admissionExempt: string[]
  /** Peer IDs whose requests alone are answered, of every protocol but DAG sync. */
  allowPeers: string[]
  /** Peer IDs whose requests are never answered, of every protocol but DAG sync. */
  denyPeers: string[]
  maxFrameBytes: number
  taskTimeout: number
  timeout: number | undefined
  logLevel: LogLevel
  logFormat: LogFormat
  /** Log rules per scope, for example `call:debug`. They override `logLevel`. */
  log: string[]
  /** Address to serve metrics on, for example `127.0.0.1:9464`. Undefined to serve none. */
  metrics: string | undefined
}

/** The name of a setting, as in config.json. */
export type SettingName = keyof Settings
export type SettingSource = 'flag' | 'env' | 'config' | 'default'

/** Unparsed settings: texts from the command line, or values from config.json. Missing settings have their defaults. */
export type RawSettings = { [Name in SettingName]?: string | string[] | number | boolean | undefined }

/** Default listen address. */
export const DEFAULT_LISTEN = '/ip4/0.0.0.0/tcp/38960'

/** Stands for all bootstraps in `admissionExempt`. */
export const BOOTSTRAPS = 'bootstraps'

/** The flag of a setting, for help. */
interface SettingFlag {
  /**
   * The commands with this flag: `CHAIN` for commands that use the chain, `NODE` for all that may run a node, `START` and `SERVING` for
   * `start`, `GLOBAL` for all.
   */
  on: 'CHAIN' | 'NODE' | 'START' | 'SERVING' | 'GLOBAL'
  /** Placeholder of the value. Undefined for a switch. */
  value?: string
  /** A few words. `{default}` is replaced by the default. */
  help: string
}

/**
 * The definition of a setting: its flag, its key in config.json, its default and its help. The environment variable is derived from the
 * name.
 */
export interface Setting<T> extends SettingKind<T> {
  /** Undefined if only config.json and the environment accept the setting. */
  flag?: SettingFlag
  /** The default in words, for help and the docs. @default the form of config.json */
  shown?: string | undefined
}

const MULTIADDRS = { value: 'MULTIADDR' } as const
const DURATION = { value: 'DUR' } as const
const NUMBER = { value: 'N' } as const
const CHAIN_HELP = 'ledger: in the home, ledger:/path/file.db or hypertensor:ws://host:port {default}'
const TIMEOUT = `${DEFAULT_TIMEOUT_MS / 1_000}s`

/** All settings, in the order of help and `config`. docs/settings.md has a row for each. */
export const SETTINGS: { [Name in SettingName]: Setting<Settings[Name]> } = {
  bootstrap: { ...list(parsePeerMultiaddr), flag: { on: 'NODE', ...MULTIADDRS, help: 'a peer to connect to first; may be repeated' } },
  subnetId: { ...integer(1, 0, 2 ** 32 - 1), flag: { on: 'CHAIN', ...NUMBER, help: 'the subnet {default}' } },
  chain: { ...text('ledger:'), flag: { on: 'CHAIN', value: 'URL', help: CHAIN_HELP } },
  key: { ...text(undefined), shown: 'identity.key in the home', flag: { on: 'CHAIN', value: 'FILE', help: 'the identity key {default}' } },
  network: {
    ...oneOf(NETWORKS, 'native'),
    flag: { on: 'NODE', value: 'KIND', help: "native, or template: a network of Hypertensor's Python template {default}" },
  },
  maxFrameBytes: {
    ...integer(DEFAULT_LIMITS.maxFrameBytes, 1_024, 2 ** 31 - 1),
    shown: `${DEFAULT_LIMITS.maxFrameBytes >> 20} MiB`,
    flag: { on: 'NODE', ...NUMBER, help: 'the largest message sent or accepted {default}' },
  },
  listen: {
    ...list(parseListen),
    format: (addresses) => (addresses.length === 0 ? [DEFAULT_LISTEN] : addresses),
    flag: { on: 'START', ...MULTIADDRS, help: 'where to listen {default}' },
  },
  announce: {
    ...list(parseAnnounce),
    shown: 'what it listens on',
    flag: { on: 'START', ...MULTIADDRS, help: 'announce these instead of --listen' },
  },
  handler: {
    ...text(undefined),
    shown: 'none: tasks are rejected',
    flag: { on: 'START', value: 'SPEC', help: 'answers tasks: echo, upper, exec:, sh: or a module' },
  },
  protocol: { ...list(String), flag: { on: 'START', value: 'MODULE', help: 'serves a protocol of your own; may be repeated' } },
  mdns: { ...onOff(false), flag: { on: 'SERVING', help: 'find peers of the same local network' } },
  portMapping: { ...onOff(true), flag: { on: 'SERVING', help: 'ask the router to forward the port (UPnP, NAT-PMP) {default}' } },
  publish: { ...onOff(false), flag: { on: 'START', help: 'keep the multiaddrs on the chain up to date' } },
  admission: {
    ...oneOf(['open', 'registered'], 'open'),
    flag: { on: 'SERVING', value: 'WHO', help: 'open, or registered: admit only peers on the chain {default}' },
  },
  minClass: {
    ...oneOf(NODE_CLASSES, 'registered'),
    flag: { on: 'SERVING', value: 'CLASS', help: 'lowest class admitted: registered, idle, included or validator {default}' },
  },
  admissionOnError: {
    ...oneOf(['deny', 'allow'], 'deny'),
    flag: { on: 'SERVING', value: 'WHAT', help: 'deny or allow strangers while the chain does not answer {default}' },
  },
  admissionExempt: {
    ...list(parseExempt, String),
    flag: { on: 'SERVING', value: 'PEER', help: 'always admit this peer ID, or "bootstraps"; may be repeated' },
  },
  allowPrivate: { ...onOff(false), flag: { on: 'SERVING', help: 'dial private and loopback addresses from any source' } },
  relayService: {
    ...oneOf(RELAY_SERVICE, 'auto'),
    flag: { on: 'SERVING', value: 'WHEN', help: 'relay for peers of the subnet: auto (while public), on or off {default}' },
  },
  reflection: { ...onOff(true), flag: { on: 'SERVING', help: 'describe the protocols of this node to peers {default}' } },
  ownerKey: {
    fallback: undefined,
    parse: ([name]) => checkOwnerKeyName(name),
    shown: 'none: asked for',
    flag: { on: 'SERVING', value: 'FILE', help: 'key of the coldkey that owns the node on the chain, in hex' },
  },
  heartbeatInterval: {
    ...duration(HEARTBEAT_INTERVAL_MS.default, HEARTBEAT_INTERVAL_MS.min, HEARTBEAT_INTERVAL_MS.maxConfigured),
    flag: { on: 'SERVING', ...DURATION, help: 'time between heartbeats, 500ms to 10m {default}' },
  },
  heartbeatBudget: {
    ...integer(HEARTBEAT_BUDGET.default, HEARTBEAT_BUDGET.min, 2 ** 31 - 1),
    flag: { on: 'SERVING', ...NUMBER, help: 'budget for heartbeats in bytes/s; with many peers they are less frequent {default}' },
  },
  taskTimeout: {
    ...duration(DEFAULT_TIMEOUT_MS),
    shown: TIMEOUT,
    flag: { on: 'SERVING', ...DURATION, help: 'time limit of one exec: or sh: handler run {default}' },
  },
  metrics: {
    fallback: undefined,
    parse: ([address = '']) => formatMetricsAddress(parseMetricsAddress(address)),
    shown: 'none: not served',
    flag: { on: 'SERVING', value: 'HOST:PORT', help: 'serve metrics and readiness here; a bare port means loopback' },
  },
  timeout: {
    ...duration(undefined),
    shown: TIMEOUT,
    flag: { on: 'GLOBAL', ...DURATION, help: 'time limit of the whole command: 500ms, 20s, 5m {default}' },
  },
  logLevel: {
    ...oneOf(LOG_LEVELS, 'warn'),
    flag: { on: 'GLOBAL', value: 'LEVEL', help: 'silent, error, warn, info, debug or trace {default}' },
  },
  logFormat: {
    ...oneOf(LOG_FORMATS, 'text'),
    flag: { on: 'SERVING', value: 'FORMAT', help: 'log format: text, or json with one object per line {default}' },
  },
  log: list(parseLogRule),
  kadProtocol: { ...text(undefined), shown: '/subnet/<id>/kad/1.0.0; in a template network /ipfs/kad/1.0.0' },
  allowPeers: list(parsePeerId, String),
  denyPeers: list(parsePeerId, String),
  gossipIpColocationWeight: integer(-5, -1_000, 0),
  maxConnectionsPerIp: { ...integer(0, 1, 300), fallback: undefined, shown: '150' },
  relayReservations: integer(128, 1, 10_000),
  relayBytes: { ...integer(16 << 20, 1_024, 2 ** 50), shown: '16 MiB' },
  relayDuration: duration(600_000, 1_000),
}

/** The names of all settings, in order. */
export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[]

/** The value of a setting in the form of config.json. */
export function formatted<Name extends SettingName>(name: Name, settings: Settings): unknown {
  const { format } = SETTINGS[name]
  return format == null ? settings[name] : format(settings[name])
}

/** The default of a setting, as shown in help and docs. */
export function shownDefault<Name extends SettingName>(name: Name): string {
  const { shown, fallback, format } = SETTINGS[name]
  const value: unknown = format == null ? fallback : format(fallback)
  return shown ?? ([value ?? []].flat().join(', ') || 'none')
}

/** Parses `bootstraps` or a peer ID. */
function parseExempt(text: string): PeerId | typeof BOOTSTRAPS {
  return text === BOOTSTRAPS ? BOOTSTRAPS : parsePeerId(text)
}

/** The environment variable of a setting, for example `SUBNET_HEARTBEAT_INTERVAL` for `heartbeatInterval`. */
export function variableOf(name: SettingName): string {
  return `SUBNET_${kebab(name).replaceAll('-', '_').toUpperCase()}`
}

/** The name of a setting in kebab case, as its flag: `heartbeatInterval` becomes `heartbeat-interval`. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
