import { BaseCommand } from '../../cli/base-command.ts'
import { nodeFlags, peerArg } from '../../cli/flags.ts'
import { protocolTable } from '../../cli/text/protocol-table.ts'
import type { ProtocolAnswer } from '../../session/answers.ts'

export default class ProtocolList extends BaseCommand {
  static override summary = 'List the protocols of a peer.'
  static override examples = [
    '<%= config.bin %> protocol list bob',
    "<%= config.bin %> protocol list bob --json | jq -r '.[] | select(.kind) | .id'",
  ]
  static override args = { peer: peerArg }
  static override flags = nodeFlags

  async run(): Promise<ProtocolAnswer[]> {
    const { args } = await this.parse(ProtocolList)
    const peer = await this.peerArgument(args.peer)
    const { peerId, source, protocols } = await (await this.session()).protocols.list(peer, this.callOptions)
    if (source === 'identify') {
      this.logToStderr(`${peerId} does not describe its protocols; the list has only their ids, with those of libp2p's own protocols`)
    }
    if (protocols.length > 0) {
      this.log(protocolTable(protocols, process.stdout.columns))
    }
    return protocols
  }
}
