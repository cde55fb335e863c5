import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags } from '../../cli/flags.ts'
import { chainTable, describeListing } from '../../cli/text/chain-table.ts'
import type { ChainAnswer } from '../../session/answers.ts'
import { staleNotice } from '../../session/chain-words.ts'

export default class ChainList extends BaseCommand {
  static override summary = 'List the peers that have multiaddrs on the chain.'
  static override description =
    'One multiaddr a line; each ends in the peer ID that it belongs to. With --all a table of all peers of the subnet, with addresses or without.'
  static override examples = [
    '<%= config.bin %> chain list',
    '<%= config.bin %> chain list --all',
    '<%= config.bin %> chain list --chain ledger:/tmp/subnet.db --json | jq length',
  ]
  static override flags = {
    ...chainFlags,
    all: Flags.boolean({ description: 'also the peers that are registered without an address, with role, node and class' }),
  }

  async run(): Promise<ChainAnswer[]> {
    const { flags } = await this.parse(ChainList)
    const listing = await (await this.session()).chain.list({ ...this.callOptions, all: flags.all })
    this.tell(staleNotice(listing))
    this.notice(describeListing(listing, flags.all))
    if (listing.records.length > 0) {
      const addresses = (): string => listing.records.flatMap(({ multiaddrs }) => multiaddrs).join('\n')
      this.log(flags.all ? chainTable(listing.records, process.stdout.columns) : addresses())
    }
    return listing.records
  }
}
