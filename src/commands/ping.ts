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
    const roundTripsMs: number[] = []
    this.cancelled = () => [`cancelled after ${roundTripsMs.length} of ${count} pings`, ...summaryOf(roundTripsMs)].join('; ')
    const session = await this.session()
    let { roundTripMs, ...first } = await session.ping(peer, this.callOptions)
    roundTripsMs.push(roundTripMs)
    this.log(`${first.peerId}: ${humanMs(roundTripMs)}`)
    while (roundTripsMs.length < count) {
      roundTripMs = (await session.ping(peer, this.callOptions)).roundTripMs
      roundTripsMs.push(roundTripMs)
      this.log(`${first.peerId}: ${humanMs(roundTripMs)}`)
    }
    this.notice(summaryOf(roundTripsMs)[0])
    return { ...first, roundTripsMs }
  }
}

/** Empty unless there are several. */
function summaryOf(ms: number[]): string[] {
  if (ms.length < 2) {
    return []
  }
  const mean = ms.reduce((sum, one) => sum + one, 0) / ms.length
  return [
    `${ms.length} round trips: ${humanMs(Math.min(...ms))} at least, ${humanMs(mean)} on average, ${humanMs(Math.max(...ms))} at most`,
  ]
}
