import { BaseCommand } from '../../cli/base-command.ts'
import { table } from '../../cli/text/render.ts'
import type { AliasAnswer } from '../../session/answers.ts'

export default class AliasList extends BaseCommand {
  static override summary = 'List the aliases of peers.'
  static override examples = ['<%= config.bin %> alias list', "<%= config.bin %> alias list --json | jq -r '.[].alias'"]

  async run(): Promise<AliasAnswer[]> {
    await this.parse(this.ctor)
    const aliases = await (await this.session()).aliases.list(this.callOptions)
    if (aliases.length === 0) {
      this.logToStderr('there are no aliases; "subnet alias set NAME PEER" makes one')
    } else {
      this.log(table(aliases.map(({ alias, peerId }) => [alias, peerId])))
    }
    return aliases
  }
}
