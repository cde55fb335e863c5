import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags } from '../../cli/flags.ts'
import { staleNotice } from '../../cli/stale-notice.ts'
import type { ChainAnswer } from '../../session/session.ts'

export default class ChainList extends BaseCommand {
  static override summary = 'List the peers that have multiaddrs on the chain.'
  static override description = 'One multiaddr a line; each ends in the peer ID that it belongs to.'
  static override examples = [
    '<%= config.bin %> chain list',
    '<%= config.bin %> chain list --chain ledger:/tmp/subnet.db --json | jq length',
  ]
  static override flags = chainFlags

  async run(): Promise<ChainAnswer[]> {
    await this.parse(ChainList)
    const records = await (await this.session()).chain.list(this.callOptions)
    this.notice(records.map(staleNotice)[0])
    const lines = records.flatMap(({ multiaddrs }) => multiaddrs)
    if (lines.length > 0) {
      this.log(lines.join('\n'))
    } else {
      this.logToStderr('nobody has published to this chain yet')
    }
    return records
  }
}
