import { Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags } from '../cli/flags.ts'
import { peerTable } from '../cli/peer-table.ts'
import type { PeerRow } from '../session/session.ts'

export default class Peers extends BaseCommand {
  static override summary = 'List the connected peers.'
  static override examples = ['<%= config.bin %> peers', "<%= config.bin %> peers --all --json | jq -r '.[].peerId'"]
  static override flags = {
    ...nodeFlags,
    all: Flags.boolean({ description: 'also those known from gossip' }),
  }

  async run(): Promise<PeerRow[]> {
    const { flags } = await this.parse(Peers)
    const peers = await (await this.session()).peers({ ...this.callOptions, all: flags.all })
    this.log(peerTable(peers, process.stdout.columns))
    return peers
  }
}
