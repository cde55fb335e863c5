import * as Args from '@oclif/core/args'
import { BaseCommand } from '../../cli/base-command.ts'

export default class AliasRemove extends BaseCommand {
  static override summary = "Remove a peer's alias."
  static override examples = ['<%= config.bin %> alias remove bob', '<%= config.bin %> alias remove bob --json']
  static override args = { name: Args.string({ required: true, ignoreStdin: true, description: 'the alias' }) }

  async run(): Promise<{ alias: string; removed: boolean }> {
    const { args } = await this.parse(AliasRemove)
    const result = await (await this.session()).aliases.remove(args.name, this.callOptions)
    this.log(result.removed ? `removed ${result.alias}` : `there was no alias ${JSON.stringify(result.alias)}`)
    return result
  }
}
