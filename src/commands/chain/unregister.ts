import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags } from '../../cli/flags.ts'

export default class ChainUnregister extends BaseCommand {
  static override summary = 'Remove this peer from the subnet.'
  static override description = 'Its multiaddrs stay on the chain; "subnet chain remove" removes them.'
  static override examples = [
    '<%= config.bin %> chain unregister',
    '<%= config.bin %> chain unregister --chain ledger:/tmp/subnet.db --json',
  ]
  static override flags = chainFlags

  async run(): Promise<{ peerId: string; removed: boolean }> {
    await this.parse(ChainUnregister)
    const result = await (await this.session()).chain.unregister(this.callOptions)
    this.log(result.removed ? `${result.peerId} is no longer registered` : `${result.peerId} was not registered`)
    return result
  }
}
