import type { SettingName, SettingSource, Settings } from '../node/home/config.ts'
import { kebab, variableOf } from '../node/home/config.ts'
import type { Home } from '../node/home/home.ts'
import { markedChain } from '../node/home/shown-chain.ts'
import type { Logger } from '../observe/logger.ts'
import { UsageError } from '../primitives/errors.ts'
import { nodeSettings } from '../session/node-settings.ts'
import type { NodeSettingsAnswer, Session, SessionOptions } from '../session/session.ts'

export interface Wanted {
  home: Home
  settings: Settings
  sources: Record<SettingName, SettingSource>
  logger: Logger
  options: SessionOptions
}

/**
 * Compares a command's node settings with the settings of the running node. Only flags must match: an environment variable may be meant for
 * another command, so a mismatch is logged as a warning.
 * @throws UsageError for a flag that does not match
 */
export async function checkNodeSettings(session: Session, { home, settings, sources, logger, options }: Wanted): Promise<void> {
  const wanted = nodeSettings(settings, home)
  const told = (Object.keys(wanted) as Array<keyof NodeSettingsAnswer>).filter((name) => ['flag', 'env'].includes(sources[name]))
  const actual = told.length === 0 ? undefined : await session.settings(options)
  for (const name of actual == null ? [] : told) {
    const [want, have] = [wanted[name], actual?.[name]]
    if (String(want) === String(have)) {
      continue
    }
    const [wantShown, haveShown] = [shown(name, want), shown(name, have)]
    const unseen = wantShown === haveShown ? ' (the difference is in a part that is not shown)' : ''
    const message = `the node that runs in ${home.path} has ${haveShown}, not ${wantShown}${unseen}`
    if (sources[name] === 'flag') {
      throw new UsageError(`--${kebab(name)}: ${message}`, {
        hint: 'leave out the flag, stop the node first with "subnet stop", or use another --home',
      })
    }
    logger.warn(`${variableOf(name)}: ${message}`)
  }
}

/** Formats a setting for an error: a chain's secrets are hidden. The comparison itself uses the full values. */
function shown(name: keyof NodeSettingsAnswer, value: NodeSettingsAnswer[keyof NodeSettingsAnswer] | undefined): string {
  const text = String(value ?? '')
  return text === '' ? 'none' : name === 'chain' ? markedChain(text) : text
}
