import * as Args from '@oclif/core/args'
import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags } from '../cli/flags.ts'
import { wrapped } from '../cli/text/render.ts'
import { isWithoutNode } from '../cli/without-node.ts'
import { parsePeerMultiaddr } from '../primitives/address.ts'
import type { ConnectAnswer } from '../session/answers.ts'

export default class Connect extends BaseCommand {
  static override summary = 'Connect to a peer at one address.'
  static override examples = [
    '<%= config.bin %> connect /ip4/127.0.0.1/tcp/38960/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
    '<%= config.bin %> connect /dns4/peer.example.org/tcp/38960/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb --timeout 5s --json',
  ]
  static override args = {
    multiaddr: Args.string({ required: true, ignoreStdin: true, description: 'address of the peer, ending in /p2p/<peer ID>' }),
  }
  static override flags = nodeFlags

  async run(): Promise<ConnectAnswer> {
    const { args } = await this.parse(Connect)
    parsePeerMultiaddr(args.multiaddr)
    const connected = await (await this.session()).connect(args.multiaddr, this.callOptions)
    this.log(wrapped(`connected to ${connected.peerId} at ${connected.multiaddr}`, process.stdout.columns))
    if (await isWithoutNode(this.home, this.shell)) {
      this.logToStderr('no node runs in this home: the connection ends with this command; the address book keeps the address')
    }
    return connected
  }
}
