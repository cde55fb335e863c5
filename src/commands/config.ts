import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags } from '../cli/flags.ts'
import { table } from '../cli/text/render.ts'
import type { SettingName, SettingSource } from '../node/home/config.ts'
import { describeSettings } from '../node/home/load-settings.ts'

export default class Config extends BaseCommand {
  static override summary = 'Show the effective settings and the source of each.'
  static override description =
    'A flag counts first, then the environment (SUBNET_<FLAG>), then config.json in the home, then the default. Parts of a chain URL that may be secret are left out.'
  static override examples = ['<%= config.bin %> config', "<%= config.bin %> config --json | jq '.settings.subnetId.value'"]
  static override flags = nodeFlags

  async run(): Promise<{ home: string; settings: Record<SettingName, { value: unknown; source: SettingSource }> }> {
    await this.parse(Config)
    const { home } = this
    const settings = describeSettings({ settings: this.settings, sources: this.sources })
    const rows = Object.entries(settings).map(([name, { value, source }]) => [name, source, textOf(value)])
    this.log(table([['SETTING', 'FROM', 'VALUE'], ...rows]))
    return { home: home.path, settings }
  }
}

function textOf(value: unknown): string {
  const text = Array.isArray(value) ? value.join(', ') : String(value ?? '')
  return text === '' ? '-' : text
}
