import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags } from '../../cli/flags.ts'
import { chainTable, describeListing } from '../../cli/text/chain-table.ts'
import type { ChainAnswer } from '../../session/answers.ts'
import { staleNotice } from '../../session/chain-words.ts'

export default class ChainList extends BaseCommand {
  static override summary = 'List the peers that have multiaddrs on the chain.'
  static override description =
    'Prints one multiaddr per line, each ending in its peer ID. --all prints a table of all peers of the subnet, also those without an address.'
  static override examples = [
    '<%= config.bin %> chain list',
    '<%= config.bin %> chain list --all',
    '<%= config.bin %> chain list --chain ledger:/tmp/subnet.db --json | jq length',
  ]
  static override flags = {
    ...chainFlags,
    all: Flags.boolean({ description: 'also registered peers without an address; adds role, node and class' }),
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
