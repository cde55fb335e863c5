import { formatted, type SettingName, type Settings } from './config.ts'
import { changeConfigFile } from './config-file.ts'
import type { Home } from './home.ts'
import { parseSetting } from './load-settings.ts'

/**
 * Writes one setting to config.json in its config form, even if it equals the default. Returns the written value. @throws UsageError for an
 * invalid value
 */
export async function setInConfig(home: Home, name: SettingName, raw: string | string[], timeoutMs: number | undefined): Promise<unknown> {
  const value = parseSetting(name, raw, name)
  const said = formatted(name, { [name]: value } as unknown as Settings)
  await changeConfigFile(home, { [name]: said }, timeoutMs)
  return said
}

/** Removes one setting from config.json. False if it was not set. @throws UsageError */
export async function unsetInConfig(home: Home, name: SettingName, timeoutMs: number | undefined): Promise<boolean> {
  const before = await changeConfigFile(home, { [name]: undefined }, timeoutMs)
  return before[name] != null
}
