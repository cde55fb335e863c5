import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags, peerArg } from '../cli/flags.ts'
import { describeAttempts } from '../cli/repl/events.ts'
import { parseDurationFlag } from '../cli/text/duration.ts'
import { durationText } from '../primitives/human-ms.ts'
import { TIER_NAMES, type TierName } from '../resolve/tier.ts'
import type { ResolveAnswer } from '../session/answers.ts'

export default class Resolve extends BaseCommand {
  static override summary = "Find a peer's multiaddrs, and show how they were found."
  static override description =
    'Asks the local network (with mDNS), the address book, the connected peers, then the chain. The answer goes to stdout, one multiaddr per line.'
  static override examples = [
    '<%= config.bin %> resolve 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
    '<%= config.bin %> resolve bob --tier chain --json',
  ]
  static override args = { peer: peerArg }
  static override flags = {
    ...nodeFlags,
    tier: Flags.option({ options: TIER_NAMES, multiple: true, multipleNonGreedy: true })({
      helpValue: 'TIER',
      description: 'ask only this tier: local, gossip, neighbour or chain; may be repeated',
    }),
    'max-age': Flags.string({ helpValue: 'DUR', description: 'ignore answers older than this' }),
  }

  async run(): Promise<ResolveAnswer> {
    const { args, flags } = await this.parse(Resolve)
    const tiers = flags.tier as TierName[] | undefined
    const peer = await this.peerArgument(args.peer)
    const startedAtMs = performance.now()
    this.cancelled = () => `cancelled after ${durationText(performance.now() - startedAtMs)}: the search had not ended`
    const found = await (await this.session()).resolve(peer, {
      ...this.callOptions,
      tiers,
      maxAgeMs: parseDurationFlag('max-age', flags['max-age']),
    })
    this.log(found.multiaddrs.join('\n'))
    this.logToStderr(describeAttempts(found))
    return found
  }
}
