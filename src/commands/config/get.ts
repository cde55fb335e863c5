import { BaseCommand } from '../../cli/base-command.ts'
import { keyArg, settingNamed, settingText } from '../../cli/setting-key.ts'
import type { SettingName, SettingSource } from '../../node/home/config.ts'
import { describeSettings } from '../../node/home/load-settings.ts'

export default class ConfigGet extends BaseCommand {
  static override summary = 'Show one effective setting.'
  static override description =
    'Prints each entry of a list on its own line, and nothing for a setting without a value. Parts of a chain URL that may be secret are left out.'
  static override examples = ['<%= config.bin %> config get subnetId', '<%= config.bin %> config get bootstrap --json']
  static override args = { key: keyArg }

  async run(): Promise<{ key: SettingName; value: unknown; source: SettingSource }> {
    const { args } = await this.parse(ConfigGet)
    const key = settingNamed(args.key)
    const { value, source } = describeSettings({ settings: this.settings, sources: this.sources })[key]
    const text = settingText(value)
    if (text !== '') {
      this.log(text)
    }
    return { key, value, source }
  }
}
