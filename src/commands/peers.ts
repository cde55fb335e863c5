import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags } from '../cli/flags.ts'
import { peerTable } from '../cli/text/peer-table.ts'
import { watchPeers } from '../cli/watch-peers.ts'
import { isWithoutNode } from '../cli/without-node.ts'
import type { PeerRow } from '../session/answers.ts'

export default class Peers extends BaseCommand {
  static override summary = 'List the connected peers.'
  static override description =
    '--watch runs until Ctrl-C: on a terminal it redraws the table, otherwise it prints one line of JSON for each change.'
  static override examples = ['<%= config.bin %> peers --watch', "<%= config.bin %> peers --all --json | jq -r '.[].peerId'"]
  static override flags = {
    ...nodeFlags,
    all: Flags.boolean({ description: 'also peers known from gossip' }),
    watch: Flags.boolean({ description: 'keep running and show changes' }),
  }

  async run(): Promise<PeerRow[] | undefined> {
    const { flags } = await this.parse(Peers)
    const session = await this.session()
    if (await isWithoutNode(this.home, this.shell)) {
      this.logToStderr("no node runs in this home: these are the connections of this command's temporary node")
    }
    if (flags.watch) {
      const { signal } = this.interrupted
      await watchPeers(session.watchPeers({ signal, all: flags.all }), {
        json: this.jsonEnabled(),
        write: async (text) => this.writeStdout(text),
      })
      return undefined
    }
    const peers = await session.peers({ ...this.callOptions, all: flags.all })
    if (peers.length === 0) {
      this.logToStderr(flags.all ? 'no peers are known yet' : 'no peers are connected')
    } else if (!this.jsonEnabled()) {
      this.log(peerTable(peers, process.stdout.columns))
    }
    return peers
  }
}
