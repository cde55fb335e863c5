import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags, peerArg } from '../cli/flags.ts'
import type { DisconnectAnswer } from '../session/answers.ts'

export default class Disconnect extends BaseCommand {
  static override summary = "Close the running node's connections to a peer."
  static override description = 'Either side may connect again at any time; the node reconnects to its bootstraps by itself.'
  static override examples = [
    '<%= config.bin %> disconnect 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
    '<%= config.bin %> disconnect bob --json',
  ]
  static override args = { peer: peerArg }
  static override flags = nodeFlags

  async run(): Promise<DisconnectAnswer> {
    const { args } = await this.parse(Disconnect)
    const peer = await this.peerArgument(args.peer)
    const session = await this.session()
    const closed = await session.disconnect(peer, this.callOptions)
    this.log(closed.connections === 0 ? `there was no connection to ${closed.peerId}` : `disconnected from ${closed.peerId}`)
    const settings = await session.settings(this.callOptions)
    if (settings?.bootstrap.some((address) => address.endsWith(`/p2p/${closed.peerId}`)) === true) {
      this.notice('the peer is a bootstrap: the node will connect to the peer again')
    } else if (closed.connections > 0) {
      this.notice('the peer may connect again; the setting denyPeers keeps peers out')
    }
    return closed
  }
}
