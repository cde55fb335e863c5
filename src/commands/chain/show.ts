import * as Args from '@oclif/core/args'
import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags } from '../../cli/flags.ts'
import { describeChainPeer } from '../../cli/text/chain-table.ts'
import type { ChainPeerAnswer } from '../../session/answers.ts'

export default class ChainShow extends BaseCommand {
  static override summary = 'Show what the chain knows about a peer: node, role, class, multiaddrs, owner, admission.'
  static override description = 'Without PEER, shows this peer. Exit code 3: the chain does not know the peer.'
  static override examples = [
    '<%= config.bin %> chain show',
    '<%= config.bin %> chain show bob --chain hypertensor:ws://127.0.0.1:9944 --json',
  ]
  static override args = {
    peer: Args.string({ ignoreStdin: true, description: 'a peer [default: this one]' }),
  }
  static override flags = chainFlags

  async run(): Promise<ChainPeerAnswer> {
    const { args } = await this.parse(ChainShow)
    const peer = args.peer == null ? undefined : await this.peerNamed(args.peer)
    const found = await (await this.session()).chain.show(peer, this.callOptions)
    this.log(describeChainPeer(found, process.stdout.columns))
    return found
  }
}
