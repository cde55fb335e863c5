import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags, peerArg } from '../cli/flags.ts'
import { parseCountFlag } from '../cli/text/duration.ts'
import { humanMs } from '../primitives/human-ms.ts'
import type { PingAnswer } from '../session/answers.ts'

export default class Ping extends BaseCommand {
  static override summary = 'Measure the round-trip time to a peer.'
  static override examples = [
    '<%= config.bin %> ping 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
    '<%= config.bin %> ping bob --count 10 --json',
  ]
  static override args = { peer: peerArg }
  static override flags = { ...nodeFlags, count: Flags.string({ helpValue: 'N', description: 'number of pings, 1 to 10000 [default: 1]' }) }

  async run(): Promise<Omit<PingAnswer, 'roundTripMs'> & { roundTripsMs: number[] }> {
    const { args, flags } = await this.parse(Ping)
    const count = parseCountFlag('count', flags.count, 10_000) ?? 1
    const peer = await this.peerArgument(args.peer)
    const session = await this.session()
    let { roundTripMs, ...first } = await session.ping(peer, this.callOptions)
    const roundTripsMs = [roundTripMs]
    this.log(`${first.peerId}: ${humanMs(roundTripMs)}`)
    while (roundTripsMs.length < count) {
      roundTripMs = (await session.ping(peer, this.callOptions)).roundTripMs
      roundTripsMs.push(roundTripMs)
      this.log(`${first.peerId}: ${humanMs(roundTripMs)}`)
    }
    if (count > 1) {
      this.logToStderr(summaryOf(roundTripsMs))
    }
    return { ...first, roundTripsMs }
  }
}

function summaryOf(ms: number[]): string {
  const mean = ms.reduce((sum, one) => sum + one, 0) / ms.length
  return `${ms.length} round trips: ${humanMs(Math.min(...ms))} at least, ${humanMs(mean)} on average, ${humanMs(Math.max(...ms))} at most`
}
