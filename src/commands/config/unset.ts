import { BaseCommand } from '../../cli/base-command.ts'
import { keyArg, settingNamed } from '../../cli/setting-key.ts'
import { unsetInConfig } from '../../node/home/changed-config.ts'
import type { SettingName } from '../../node/home/config.ts'
import { ensureHome } from '../../node/home/home.ts'

export default class ConfigUnset extends BaseCommand {
  static override summary = 'Remove one setting from config.json; its default applies again.'
  static override examples = ['<%= config.bin %> config unset heartbeatInterval', '<%= config.bin %> config unset bootstrap --json']
  static override args = { key: keyArg }

  async run(): Promise<{ config: string; key: SettingName; removed: boolean }> {
    const { args } = await this.parse(ConfigUnset)
    const { home } = this
    const key = settingNamed(args.key)
    await ensureHome(home)
    const removed = await unsetInConfig(home, key, this.settings.timeout)
    this.log(removed ? `removed ${key}` : `there was no ${key} in ${home.configFile}`)
    if (removed) {
      await this.tellOfRestart()
    }
    return { config: home.configFile, key, removed }
  }
}
