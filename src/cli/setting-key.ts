import * as Args from '@oclif/core/args'
import { kebab, SETTING_NAMES, type SettingName } from '../node/home/config.ts'
import { UsageError } from '../primitives/errors.ts'
import { withShownUrls } from '../primitives/shown-url.ts'
import { closest } from './text/closest.ts'

/** The argument for the name of a setting. */
export const keyArg = Args.string({
  required: true,
  ignoreStdin: true,
  description: 'a key of config.json, such as heartbeatInterval, or its flag, heartbeat-interval',
})

/** The setting with this name. @throws UsageError that suggests the closest name */
export function settingNamed(text: string): SettingName {
  const found = SETTING_NAMES.find((name) => name === text || kebab(name) === text.replace(/^--/, ''))
  if (found != null) {
    return found
  }
  const meant = closest(text, SETTING_NAMES)
  const list = '"subnet config" lists all of them'
  throw new UsageError(`unknown setting ${JSON.stringify(withShownUrls(text))}`, {
    hint: meant == null ? list : `did you mean ${meant}? ${list}`,
  })
}

/** Formats a setting's value for people. */
export function settingText(value: unknown): string {
  return Array.isArray(value) ? value.join('\n') : String(value ?? '')
}
