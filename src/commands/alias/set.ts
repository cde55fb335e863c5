import * as Args from '@oclif/core/args'
import { BaseCommand } from '../../cli/base-command.ts'
import { peerArg } from '../../cli/flags.ts'
import type { AliasAnswer } from '../../session/answers.ts'

export default class AliasSet extends BaseCommand {
  static override summary = 'Give a peer an alias; every command takes it for the peer ID.'
  static override description =
    'An alias that is in use moves to the new peer. The address book keeps a multiaddr given here until a day after the last connection to it.'
  static override examples = [
    '<%= config.bin %> alias set bob 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
    '<%= config.bin %> alias set bob /ip4/127.0.0.1/tcp/38960/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb --json',
  ]
  static override args = {
    name: Args.string({ required: true, ignoreStdin: true, description: 'letters, digits, dots, dashes and underscores' }),
    peer: peerArg,
  }

  async run(): Promise<AliasAnswer> {
    const { args } = await this.parse(AliasSet)
    const peer = await this.peerArgument(args.peer)
    const set = await (await this.session()).aliases.set(args.name, peer, this.callOptions)
    this.log(`${set.alias}  ${set.peerId}`)
    return set
  }
}
