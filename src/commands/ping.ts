import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.ts'
import { parseCountFlag } from '../cli/duration.ts'
import { nodeFlags } from '../cli/flags.ts'
import { humanMs } from '../cli/render.ts'
import type { PingAnswer } from '../session/session.ts'

export default class Ping extends BaseCommand {
  static override summary = 'Measure the round trip to a peer.'
  static override examples = [
    '<%= config.bin %> ping 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
    '<%= config.bin %> ping /ip4/127.0.0.1/tcp/38960/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb --count 10 --json',
  ]
  static override args = {
    peer: Args.string({ required: true, ignoreStdin: true, description: 'a peer ID, or a multiaddr that ends in /p2p/<peer ID>' }),
  }
  static override flags = { ...nodeFlags, count: Flags.string({ helpValue: 'N', description: 'how often, 1 to 10000 [default: 1]' }) }

  async run(): Promise<PingAnswer> {
    const { args, flags } = await this.parse(Ping)
    const count = parseCountFlag('count', flags.count, 10_000) ?? 1
    const answer = await (await this.session()).ping(args.peer, { ...this.callOptions, count })
    this.log(answer.roundTripsMs.map((ms) => `${answer.peerId}: ${humanMs(ms)}`).join('\n'))
    return answer
  }
}
