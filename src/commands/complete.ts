import * as Args from '@oclif/core/args'
import { BaseCommand } from '../cli/base-command.ts'
import { completeLine } from '../cli/repl/completer.ts'
import { peerNames, protocolNames } from '../cli/repl/peer-names.ts'

export default class Complete extends BaseCommand {
  static override hidden = true
  static override summary = 'List how a line may continue; the scripts of "completion" call this.'
  static override examples = ["<%= config.bin %> complete 'subnet send-'", "<%= config.bin %> complete 'subnet resolve bob --tier ' --json"]
  static override args = { line: Args.string({ required: true, ignoreStdin: true, description: 'the line up to the cursor' }) }

  async run(): Promise<string[]> {
    const { args } = await this.parse(Complete)
    const { words } = await completeLine(args.line, {
      config: this.config,
      peers: async () => peerNames(await this.session()),
      protocols: async (peer) => protocolNames(await this.session(), peer),
    })
    if (words.length > 0) {
      this.log(words.join('\n'))
    }
    return words
  }
}
