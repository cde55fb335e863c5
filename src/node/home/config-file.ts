import { isDeepStrictEqual } from 'node:util'
import { AtomicFile } from '../../primitives/atomic-file.ts'
import { DEFAULT_TIMEOUT_MS, isDeadline } from '../../primitives/deadline.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'
import { readInputFile } from '../../primitives/input-file.ts'
import { toText } from '../../primitives/strict-text.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import { formatted, type RawSettings, SETTINGS, type SettingName, type Settings } from './config.ts'
import { HOME_HINT, type Home, reasonOf } from './home.ts'
import { markedChain } from './shown-chain.ts'

const MAX_CONFIG_BYTES = 1 << 20

/**
 * Writes these settings to config.json and keeps its other entries. A setting equal to its default is removed. Returns the whole config.
 * @throws UsageError, DatabaseError
 */
export async function updateConfigFile({ configFile }: Home, settings: Settings, names: SettingName[]): Promise<RawSettings> {
  using _lock = await lock(configFile)
  const changes = names.map((name) => [
    name,
    isDeepStrictEqual(settings[name], SETTINGS[name].fallback) ? undefined : formatted(name, settings),
  ])
  // awaited under the lock
  return await write(configFile, { ...(await readConfigFile(configFile, settings.timeout)), ...Object.fromEntries(changes) })
}

/**
 * Writes these values to config.json unchanged, and removes undefined ones. Returns the previous content. Leaves the file untouched if
 * nothing changes. @throws UsageError, DatabaseError
 */
export async function changeConfigFile({ configFile }: Home, changes: Record<string, unknown>, timeoutMs?: number): Promise<RawSettings> {
  using _lock = await lock(configFile)
  const before = await readConfigFile(configFile, timeoutMs)
  const after = { ...before, ...changes } as RawSettings
  if (!isDeepStrictEqual(JSON.parse(JSON.stringify(after)), before)) {
    await write(configFile, after)
  }
  return before
}

/** Locks config.json for a change, so that no other change is lost. @throws DatabaseError */
async function lock(configFile: string): Promise<Disposable> {
  // most commands only read the file, and skip the load of SQLite
  const { lockFileInTime } = await import('../../primitives/file-lock.ts')
  return lockFileInTime(configFile)
}

async function write(configFile: string, config: RawSettings): Promise<RawSettings> {
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

/** Reads config.json. Empty if the file is missing. @throws UsageError, ProtocolError TIMEOUT for a pipe that does not end in time */
export async function readConfigFile(file: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<RawSettings> {
  let content: Buffer
  try {
    content = await readInputFile(file, { timeoutMs, maxBytes: MAX_CONFIG_BYTES })
  } catch (cause) {
    // a home that is not a directory is reported on its first use
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) {
      return {}
    }
    if (isDeadline(cause)) {
      throw new ProtocolError('TIMEOUT', `config ${file} did not end in time`, { cause, hint: 'use a regular file' })
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
      hint: `known settings are ${Object.keys(SETTINGS).join(', ')}`,
    })
  }
  return config as RawSettings
}

/** Removes V8's excerpt of the unparsable text, which may contain a key. */
function withoutExcerpt(message: string): string {
  return message.replace(/, (?:\.{3})?".*"(?:\.{3})? is not valid JSON$/s, '')
}

/** The content of config.json, safe for display. */
export function shownSettings(settings: RawSettings): RawSettings {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, shownSetting(name as SettingName, value)]))
}

/** The value of one setting, safe for display. */
export function shownSetting<T>(name: SettingName, value: T): T | string {
  return name === 'chain' && typeof value === 'string' ? markedChain(value) : value
}
