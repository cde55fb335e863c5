import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags, peerArg } from '../../cli/flags.ts'
import type { ChainAnswer } from '../../session/answers.ts'
import { staleNotice } from '../../session/chain-words.ts'

export default class ChainLookup extends BaseCommand {
  static override summary = 'Show the multiaddrs that a peer has on the chain, one per line.'
  static override examples = [
    '<%= config.bin %> chain lookup 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
    '<%= config.bin %> chain lookup bob --chain ledger:/tmp/subnet.db --json',
  ]
  static override args = { peer: peerArg }
  static override flags = chainFlags

  async run(): Promise<ChainAnswer> {
    const { args } = await this.parse(ChainLookup)
    const peer = await this.peerArgument(args.peer)
    const record = await (await this.session()).chain.lookup(peer, this.callOptions)
    this.tell(staleNotice(record))
    this.log(record.multiaddrs.join('\n'))
    return record
  }
}
