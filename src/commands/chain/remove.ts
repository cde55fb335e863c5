import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags } from '../../cli/flags.ts'

export default class ChainRemove extends BaseCommand {
  static override summary = "Remove this peer's multiaddrs from the chain."
  static override examples = ['<%= config.bin %> chain remove', '<%= config.bin %> chain remove --chain ledger:/tmp/subnet.db --json']
  static override flags = chainFlags

  async run(): Promise<{ peerId: string; removed: boolean }> {
    await this.parse(ChainRemove)
    const result = await (await this.session()).chain.remove(this.callOptions)
    this.log(result.removed ? `removed the addresses of ${result.peerId}` : `there were no addresses of ${result.peerId}`)
    return result
  }
}
