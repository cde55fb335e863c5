import { BaseCommand } from '../cli/base-command.ts'
import { keyFlag } from '../cli/flags.ts'

export default class Id extends BaseCommand {
  static override summary = "Show this node's peer ID and multiaddrs."
  static override description = 'The first line is the peer ID; the multiaddrs of a running node follow, one per line.'
  static override examples = ['<%= config.bin %> id', '<%= config.bin %> id --home /var/lib/subnet --json']
  static override flags = { ...keyFlag }

  async run(): Promise<{ peerId: string; multiaddrs: string[] }> {
    await this.parse(Id)
    const id = await (await this.session()).id(this.callOptions)
    this.log([id.peerId, ...id.multiaddrs].join('\n'))
    return id
  }
}
