import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags, payingFlags } from '../../cli/flags.ts'
import type { PublishAnswer } from '../../cli/publish.ts'

export default class ChainPublish extends BaseCommand {
  static override summary = "Publish this peer's multiaddrs on the chain, replacing the old ones."
  static override description =
    'Without MULTIADDR, publishes those of the running node. A multiaddr without /p2p gets the peer ID of this home. A Hypertensor chain stores one, for a fee; the coldkey that owns the node signs it, on any machine.'
  static override examples = [
    '<%= config.bin %> chain publish /ip4/203.0.113.7/tcp/38960',
    '<%= config.bin %> chain publish /dns4/peer.example.org/tcp/38960 --chain ledger:/tmp/subnet.db --json',
    '<%= config.bin %> chain publish /ip4/203.0.113.7/tcp/38960/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb --owner-key owner.key',
  ]
  static override args = {
    multiaddr: Args.string({ multiple: true, description: 'an address of the peer; may be repeated' }),
  }
  static override flags = {
    ...chainFlags,
    ...payingFlags,
    node: Flags.integer({
      helpValue: 'N',
      min: 1,
      max: 2 ** 32 - 1,
      description: 'assign this peer to node N of the chain',
    }),
  }

  async run(): Promise<PublishAnswer> {
    const { args, flags } = await this.parse(ChainPublish)
    const { publish } = await import('../../cli/publish.ts')
    const record = await publish({
      session: await this.session(),
      home: this.home,
      settings: this.settings,
      multiaddrs: args.multiaddr ?? [],
      nodeId: flags.node,
      yes: flags.yes,
      questions: this.questions,
      options: this.callOptions,
      // also printed with --json, because a fee is paid
      tell: (text) => process.stderr.write(`${text}\n`),
      logger: this.logger,
    })
    this.log(record.multiaddrs.join('\n'))
    if (record.waiting == null) {
      this.logToStderr(`published at block ${record.block}`)
    }
    return record
  }
}
