import { isDeepStrictEqual } from 'node:util'
import type { PeerId } from '@libp2p/interface'
import { NODE_CLASSES, type NodeClass } from '../../chain/registry.ts'
import { HEARTBEAT_BUDGET, HEARTBEAT_INTERVAL_MS } from '../../gossip/heartbeat-interval.ts'
import { parsePeerId, parsePeerMultiaddr } from '../../primitives/address.ts'
import { AtomicFile } from '../../primitives/atomic-file.ts'
import { isDeadline } from '../../primitives/deadline.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'
import { readInputFile } from '../../primitives/input-file.ts'
import { LOG_LEVELS, type LogLevel } from '../../primitives/log.ts'
import { withShownUrls } from '../../primitives/shown-url.ts'
import { toText } from '../../primitives/strict-text.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import { DEFAULT_LIMITS } from '../../protocol/api/limits.ts'
import { NETWORKS, type Network } from '../network/network.ts'
import { HOME_HINT, type Home, reasonOf } from './home.ts'
import { parseAnnounce, parseListen } from './named-addresses.ts'
import { checkOwnerKeyName } from './owner-key.ts'
import { markedChain } from './shown-chain.ts'

/** What a node, and the commands on it, can be told. Times in milliseconds. */
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
  ownerKey: string | undefined
  /** Dial private and loopback addresses too, whoever names them. */
  allowPrivate: boolean
  kadProtocol: string | undefined
  gossipIpColocationWeight: number
  /** Open inbound connections of one IPv4 address or IPv6 /64; undefined for the default, which does not limit loopback. */
  maxConnectionsPerIp: number | undefined
  admission: 'open' | 'registered'
  minClass: NodeClass
  admissionOnError: 'deny' | 'allow'
  admissionExempt: string[]
  allowPeers: string[]
  denyPeers: string[]
  maxFrameBytes: number
  taskTimeout: number
  timeout: number | undefined
  logLevel: LogLevel
}

/** The name of a setting, as in config.json. */
export type SettingName = keyof Settings
export type SettingSource = 'flag' | 'env' | 'config' | 'default'

/** Where a setting's raw value stands, and how it becomes what it means. */
interface Setting<T> {
  fallback: T
  /** Reads one raw text; a list gives all its texts. @throws Error that says what is expected */
  parse(texts: string[]): T
  list?: true
  /** How config.json would say it. @default as it is */
  format?(value: T): unknown
}

/** Where a node listens that was not told where. */
export const DEFAULT_LISTEN = '/ip4/0.0.0.0/tcp/38960'

/** In `admissionExempt`: all bootstraps. */
export const BOOTSTRAPS = 'bootstraps'

/** How long a config may take to come, where nothing else was said: it may be a pipe. */
const CONFIG_FILE_MS = 60_000
const MAX_CONFIG_BYTES = 1 << 20

const DURATION_UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const

/** Reads `500ms`, `20s`, `5m` or `1h` into milliseconds. @throws Error */
export function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? []
  const ms = Math.round(Number(amount) * DURATION_UNITS_MS[unit as keyof typeof DURATION_UNITS_MS])
  // the longest that a timer of Node can wait
  if (!(ms > 0 && ms <= 2 ** 31 - 1)) {
    throw new Error('a duration like 500ms, 20s or 5m, at most 24 days')
  }
  return ms
}

function formatDuration(ms: number | undefined): string | undefined {
  const unit = (['h', 'm', 's'] as const).find((unit) => ms != null && ms % DURATION_UNITS_MS[unit] === 0) ?? 'ms'
  return ms == null ? undefined : `${ms / DURATION_UNITS_MS[unit]}${unit}`
}

function text(fallback: string): Setting<string>
function text(fallback: undefined): Setting<string | undefined>
function text(fallback: string | undefined): Setting<string | undefined> {
  return {
    fallback,
    parse: ([value]) => {
      if (value === '') {
        throw new Error('a text that is not empty')
      }
      return value
    },
  }
}

function integer(fallback: number, min: number, max: number): Setting<number> {
  return {
    fallback,
    parse: ([value]) => {
      const number = /^-?\d+$/.test(value ?? '') ? Number(value) : Number.NaN
      if (!(number >= min && number <= max)) {
        throw new Error(`a whole number from ${min} to ${max}`)
      }
      return number
    },
  }
}

function duration<T extends number | undefined>(fallback: T, min = 1, max = 2 ** 31 - 1): Setting<number | T> {
  return {
    fallback,
    format: formatDuration,
    parse: ([value]) => {
      const ms = parseDuration(value ?? '')
      if (ms < min || ms > max) {
        throw new Error(`a duration from ${min}ms to ${max / 1_000}s`)
      }
      return ms
    },
  }
}

function flag(fallback: boolean): Setting<boolean> {
  return {
    fallback,
    parse: ([value]) => {
      if (value !== 'true' && value !== 'false') {
        throw new Error('true or false')
      }
      return value === 'true'
    },
  }
}

/** @param spell gives what was read of a text, where that is kept in place of the text */
function list<T>(read: (text: string) => T, spell?: (value: T) => string): Setting<string[]> {
  return {
    fallback: [],
    list: true,
    parse: (values) => {
      if (values.includes('')) {
        throw new Error('texts that are not empty')
      }
      const found = values.map(read)
      return spell == null ? values : found.map(spell)
    },
  }
}

/** `bootstraps`, or a peer ID. */
function parseExempt(text: string): PeerId | typeof BOOTSTRAPS {
  return text === BOOTSTRAPS ? BOOTSTRAPS : parsePeerId(text)
}

function oneOf<T extends string>(values: readonly T[], fallback: T): Setting<T> {
  return {
    fallback,
    parse: ([value]) => {
      const found = values.find((candidate) => candidate === value)
      if (found == null) {
        throw new Error(`one of ${values.join(', ')}`)
      }
      return found
    },
  }
}

const SETTINGS: { [Name in SettingName]: Setting<Settings[Name]> } = {
  bootstrap: list(parsePeerMultiaddr),
  subnetId: integer(1, 0, 2 ** 32 - 1),
  network: oneOf(NETWORKS, 'native'),
  chain: text('ledger:'),
  key: text(undefined),
  listen: { ...list(parseListen), format: (addresses) => (addresses.length === 0 ? [DEFAULT_LISTEN] : addresses) },
  announce: list(parseAnnounce),
  handler: text(undefined),
  protocol: list(String),
  reflection: flag(true),
  heartbeatInterval: duration(HEARTBEAT_INTERVAL_MS.default, HEARTBEAT_INTERVAL_MS.min, HEARTBEAT_INTERVAL_MS.maxConfigured),
  heartbeatBudget: integer(HEARTBEAT_BUDGET.default, HEARTBEAT_BUDGET.min, 2 ** 31 - 1),
  publish: flag(false),
  ownerKey: { fallback: undefined, parse: ([name]) => checkOwnerKeyName(name) },
  allowPrivate: flag(false),
  kadProtocol: text(undefined),
  gossipIpColocationWeight: integer(-5, -1_000, 0),
  maxConnectionsPerIp: { ...integer(0, 1, 300), fallback: undefined },
  admission: oneOf(['open', 'registered'], 'open'),
  minClass: oneOf(NODE_CLASSES, 'registered'),
  admissionOnError: oneOf(['deny', 'allow'], 'deny'),
  admissionExempt: list(parseExempt, String),
  allowPeers: list(parsePeerId, String),
  denyPeers: list(parsePeerId, String),
  maxFrameBytes: integer(DEFAULT_LIMITS.maxFrameBytes, 1_024, 2 ** 31 - 1),
  taskTimeout: duration(60_000),
  timeout: duration(undefined),
  logLevel: oneOf(LOG_LEVELS, 'warn'),
}

/** Settings as they are given: texts as on the command line, or what config.json may hold. What is absent has its default. */
export type RawSettings = { [Name in SettingName]?: string | string[] | number | boolean | undefined }

export interface SettingsInit {
  flags: RawSettings
  env: NodeJS.ProcessEnv
  home: Home
}

export interface LoadedSettings {
  settings: Settings
  sources: Record<SettingName, SettingSource>
}

/** The effective settings, and where each came from: flag, then environment, then config.json, then default. @throws UsageError */
export async function loadSettings(init: SettingsInit): Promise<LoadedSettings> {
  const config = await readConfigFile(init.home.configFile, timeoutOf(init))
  const settings: Record<string, unknown> = {}
  const sources: Record<string, SettingSource> = {}
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const variable = variableOf(name)
    const found = [
      { source: 'flag' as const, raw: init.flags[name], where: `--${kebab(name)}` },
      { source: 'env' as const, raw: splitList(name, init.env[variable] || undefined), where: variable },
      { source: 'config' as const, raw: config[name], where: `"${name}" in ${init.home.configFile}` },
    ].find(({ raw }) => raw != null)
    settings[name] = found == null ? SETTINGS[name].fallback : parse(name, found.raw, found.where)
    sources[name] = found?.source ?? 'default'
  }
  return { settings: settings as unknown as Settings, sources: sources as Record<SettingName, SettingSource> }
}

/** What was said of the time before config.json is read. @throws UsageError */
function timeoutOf({ flags, env }: SettingsInit): number | undefined {
  const raw = flags.timeout ?? (env['SUBNET_TIMEOUT'] || undefined)
  return raw == null ? undefined : (parse('timeout', raw, flags.timeout == null ? 'SUBNET_TIMEOUT' : '--timeout') as number)
}

/** The same settings, but for what these flags say. @throws UsageError */
export function withFlags({ settings, sources }: LoadedSettings, flags: RawSettings): LoadedSettings {
  const given = (Object.keys(SETTINGS) as SettingName[]).filter((name) => flags[name] != null)
  const parsed = given.map((name) => [name, parse(name, flags[name], `--${kebab(name)}`)])
  return {
    settings: { ...settings, ...Object.fromEntries(parsed) },
    sources: { ...sources, ...Object.fromEntries(given.map((name) => [name, 'flag'])) },
  }
}

/** Each setting as config.json would say it, but for the chain, which is shown without secrets; null where there is none. And where it came from. */
export function describeSettings({ settings, sources }: LoadedSettings): Record<SettingName, { value: unknown; source: SettingSource }> {
  const entries = (Object.keys(SETTINGS) as SettingName[]).map((name) => [
    name,
    { value: shownSetting(name, formatted(name, settings)) ?? null, source: sources[name] },
  ])
  return Object.fromEntries(entries)
}

/** Writes these settings to config.json, those that are the default not; what else stands there stays. Gives all that it holds. @throws UsageError */
export async function updateConfigFile({ configFile }: Home, settings: Settings, names: SettingName[]): Promise<RawSettings> {
  const config = await readConfigFile(configFile, settings.timeout)
  for (const name of names) {
    config[name] = isDeepStrictEqual(settings[name], SETTINGS[name].fallback) ? undefined : (formatted(name, settings) as string)
  }
  const json = JSON.stringify(config, undefined, 2)
  let file: AtomicFile | undefined
  try {
    file = await AtomicFile.open(configFile, 0o600)
    await file.write(Buffer.from(`${json}\n`))
    await file.commit()
  } catch (cause) {
    throw new UsageError(`config ${configFile} cannot be written: ${reasonOf(cause)}`, { cause })
  } finally {
    await file?.discard()
  }
  return JSON.parse(json) as RawSettings
}

function formatted<Name extends SettingName>(name: Name, settings: Settings): unknown {
  const { format } = SETTINGS[name]
  return format == null ? settings[name] : format(settings[name])
}

/** @throws UsageError */
function parse(name: SettingName, raw: unknown, where: string): unknown {
  const setting = SETTINGS[name]
  const values: unknown[] = Array.isArray(raw) ? raw : [raw]
  try {
    if (values.some((value) => value == null || typeof value === 'object')) {
      throw new Error(setting.list === true ? 'texts' : 'a text, a number, true or false')
    }
    if (values.length !== 1 && setting.list == null) {
      throw new Error('one value only')
    }
    return setting.parse(values.map(String))
  } catch (cause) {
    if (cause instanceof UsageError) {
      throw new UsageError(`${where}: ${cause.message}`, { cause, hint: cause.hint })
    }
    throw new UsageError(`${where}: ${withShownUrls(JSON.stringify(raw))} is not valid; expected ${describeError(cause)}`, { cause })
  }
}

function splitList(name: SettingName, value: string | undefined): string | string[] | undefined {
  return value != null && SETTINGS[name].list === true
    ? value
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '')
    : value
}

async function readConfigFile(file: string, timeoutMs = CONFIG_FILE_MS): Promise<RawSettings> {
  let content: Buffer
  try {
    content = await readInputFile(file, { timeoutMs, maxBytes: MAX_CONFIG_BYTES })
  } catch (cause) {
    // a home that is no directory is told of by whoever uses it
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) {
      return {}
    }
    if (isDeadline(cause)) {
      throw new ProtocolError('TIMEOUT', `config ${file} did not come to its end in time`, { cause, hint: 'it is no regular file' })
    }
    throw new UsageError(`config ${file} cannot be read: ${reasonOf(cause)}`, { cause, hint: HOME_HINT })
  }
  const text = toText(content, `config ${file}`)
  let config: unknown
  try {
    config = JSON.parse(text)
  } catch (cause) {
    throw new UsageError(`config ${file} is not JSON: ${withoutExcerpt(describeError(cause))}`, { cause })
  }
  if (config == null || typeof config !== 'object' || Array.isArray(config)) {
    throw new UsageError(`config ${file} is not a JSON object`)
  }
  const unknown = Object.keys(config).filter((key) => !Object.hasOwn(SETTINGS, key))
  if (unknown.length > 0) {
    throw new UsageError(`config ${file} has unknown settings: ${unknown.join(', ')}`, {
      hint: `known are ${Object.keys(SETTINGS).join(', ')}`,
    })
  }
  return config as RawSettings
}

/** V8 quotes what it could not read, which may be a key. */
function withoutExcerpt(message: string): string {
  return message.replace(/, (?:\.{3})?".*"(?:\.{3})? is not valid JSON$/s, '')
}

/** What was written or read of config.json, as it may be shown. */
export function shownSettings(settings: RawSettings): RawSettings {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, shownSetting(name as SettingName, value)]))
}

function shownSetting<T>(name: SettingName, value: T): T | string {
  return name === 'chain' && typeof value === 'string' ? markedChain(value) : value
}

/** The environment variable of a setting: `heartbeatInterval` is `SUBNET_HEARTBEAT_INTERVAL`. */
export function variableOf(name: SettingName): string {
  return `SUBNET_${kebab(name).replaceAll('-', '_').toUpperCase()}`
}

/** The flag of a setting: `heartbeatInterval` is `--heartbeat-interval`. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
