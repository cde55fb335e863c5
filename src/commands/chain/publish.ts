import * as Args from '@oclif/core/args'
import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags } from '../../cli/flags.ts'
import type { ChainAnswer } from '../../session/session.ts'

export default class ChainPublish extends BaseCommand {
  static override summary = "Put this peer's multiaddrs on the chain, in place of what is there."
  static override description = 'Without MULTIADDR those of the running node. One that does not end in /p2p gets the peer ID of this home.'
  static override examples = [
    '<%= config.bin %> chain publish /ip4/203.0.113.7/tcp/38960',
    '<%= config.bin %> chain publish /dns4/peer.example.org/tcp/38960 --chain ledger:/tmp/subnet.db --json',
  ]
  static override args = {
    multiaddr: Args.string({ multiple: true, description: 'where this peer can be dialled; several may follow' }),
  }
  static override flags = chainFlags

  async run(): Promise<ChainAnswer> {
    const { args } = await this.parse(ChainPublish)
    const record = await (await this.session()).chain.publish(args.multiaddr ?? [], this.callOptions)
    this.log(record.multiaddrs.join('\n'))
    this.logToStderr(`published at block ${record.block}`)
    return record
  }
}
