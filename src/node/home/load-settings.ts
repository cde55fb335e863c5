import { describeError, UsageError } from '../../primitives/errors.ts'
import { withShownUrls } from '../../primitives/shown-url.ts'
import {
  formatted,
  kebab,
  type RawSettings,
  SETTING_NAMES,
  SETTINGS,
  type SettingName,
  type SettingSource,
  type Settings,
  variableOf,
} from './config.ts'
import { readConfigFile, shownSetting } from './config-file.ts'
import type { Home } from './home.ts'

export interface SettingsInit {
  flags: RawSettings
  env: NodeJS.ProcessEnv
  home: Home
}

export interface LoadedSettings {
  settings: Settings
  sources: Record<SettingName, SettingSource>
}

/** Loads the effective settings and their sources, in the order flag, environment, config.json, default. @throws UsageError */
export async function loadSettings(init: SettingsInit): Promise<LoadedSettings> {
  const config = await readConfigFile(init.home.configFile, timeoutOf(init))
  const settings: Record<string, unknown> = {}
  const sources: Record<string, SettingSource> = {}
  for (const name of SETTING_NAMES) {
    const variable = variableOf(name)
    const found = [
      { source: 'flag' as const, raw: init.flags[name], where: `--${kebab(name)}` },
      { source: 'env' as const, raw: splitList(name, init.env[variable] || undefined), where: variable },
      { source: 'config' as const, raw: config[name], where: `"${name}" in ${init.home.configFile}` },
    ].find(({ raw }) => raw != null)
    settings[name] = found == null ? SETTINGS[name].fallback : parseSetting(name, found.raw, found.where)
    sources[name] = found?.source ?? 'default'
  }
  return { settings: settings as unknown as Settings, sources: sources as Record<SettingName, SettingSource> }
}

/** The timeout as known before config.json is read. @throws UsageError */
function timeoutOf({ flags, env }: SettingsInit): number | undefined {
  const raw = flags.timeout ?? (env['SUBNET_TIMEOUT'] || undefined)
  return raw == null ? undefined : (parseSetting('timeout', raw, flags.timeout == null ? 'SUBNET_TIMEOUT' : '--timeout') as number)
}

/** Overrides settings with flags. @throws UsageError */
export function withFlags({ settings, sources }: LoadedSettings, flags: RawSettings): LoadedSettings {
  const given = SETTING_NAMES.filter((name) => flags[name] != null)
  const parsed = given.map((name) => [name, parseSetting(name, flags[name], `--${kebab(name)}`)])
  return {
    settings: { ...settings, ...Object.fromEntries(parsed) },
    sources: { ...sources, ...Object.fromEntries(given.map((name) => [name, 'flag'])) },
  }
}

/** Each setting in the form of config.json, with its source. The chain is shown without secrets. Null without a value. */
export function describeSettings({ settings, sources }: LoadedSettings): Record<SettingName, { value: unknown; source: SettingSource }> {
  const entries = SETTING_NAMES.map((name) => [
    name,
    { value: shownSetting(name, formatted(name, settings)) ?? null, source: sources[name] },
  ])
  return Object.fromEntries(entries)
}

/** Parses the value of a setting. @param where origin of the value, for error messages @throws UsageError */
export function parseSetting(name: SettingName, raw: unknown, where: string): unknown {
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
      throw new UsageError(`${where}: ${withShownUrls(cause.message)}`, { cause, hint: cause.hint })
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
