import * as Args from '@oclif/core/args'
import { BaseCommand } from '../../cli/base-command.ts'
import { keyArg, settingNamed, settingText } from '../../cli/setting-key.ts'
import { setInConfig } from '../../node/home/changed-config.ts'
import { BOOTSTRAPS, SETTINGS, type SettingName } from '../../node/home/config.ts'
import { shownSetting } from '../../node/home/config-file.ts'
import { ensureHome } from '../../node/home/home.ts'

/** Settings that are lists of peer IDs. */
const PEER_LISTS: SettingName[] = ['allowPeers', 'denyPeers', 'admissionExempt']

export default class ConfigSet extends BaseCommand {
  static override summary = 'Write one setting to config.json.'
  static override description =
    'The value is checked as "start" checks it, and replaces the old one. Separate the entries of a list with commas. A flag or an environment variable still overrides the value.'
  static override examples = [
    '<%= config.bin %> config set heartbeatInterval 30s',
    '<%= config.bin %> config set bootstrap /ip4/192.0.2.1/tcp/38960/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
    '<%= config.bin %> config set gossipIpColocationWeight -- -1',
  ]
  static override args = {
    key: keyArg,
    value: Args.string({ required: true, ignoreStdin: true, description: 'as for the flag; true or false for a switch' }),
  }

  async run(): Promise<{ config: string; key: SettingName; value: unknown }> {
    const { args } = await this.parse(ConfigSet)
    const { home } = this
    const key = settingNamed(args.key)
    await ensureHome(home)
    const raw = SETTINGS[key].list === true ? await this.#items(key, args.value) : args.value
    const value = shownSetting(key, await setInConfig(home, key, raw, this.settings.timeout))
    this.log(`${key}  ${settingText(value).replaceAll('\n', ', ')}`)
    await this.tellOfRestart()
    return { config: home.configFile, key, value }
  }

  /** The items of a list. Peers may be named as in any command; their IDs are stored. */
  async #items(key: SettingName, value: string): Promise<string[]> {
    const items = value.split(',').map((item) => item.trim())
    return PEER_LISTS.includes(key) ? Promise.all(items.map(async (item) => (item === BOOTSTRAPS ? item : this.peerIdNamed(item)))) : items
  }
}
