import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { benchPlanOf, DEFAULT_BENCH_PLAN, rejectionNotice, showBench } from '../cli/bench.ts'
import { nodeFlags, peerArg } from '../cli/flags.ts'
import type { BenchAnswer } from '../session/answers.ts'
import { MAX_BENCH_PLAN } from '../session/bench-plan.ts'

export default class Bench extends BaseCommand {
  static override summary = 'Measure latency, tasks per second and MB/s to a peer.'
  static override description =
    'Sends small tasks one at a time, then many at a time, then large ones. Ctrl-C shows the results so far. --timeout covers the whole measurement [default: 60s on top of --duration].'
  static override examples = ['<%= config.bin %> bench bob', '<%= config.bin %> bench bob --duration 30s --concurrency 64 --json']
  static override args = { peer: peerArg }
  static override flags = {
    ...nodeFlags,
    duration: Flags.string({ helpValue: 'DUR', description: 'total time, a third for each of the three [default: 10s]' }),
    count: Flags.string({ helpValue: 'N', description: `largest number of tasks in each [default: ${DEFAULT_BENCH_PLAN.count}]` }),
    concurrency: Flags.string({
      helpValue: 'N',
      description: `tasks at a time, 1 to ${MAX_BENCH_PLAN.concurrency} [default: ${DEFAULT_BENCH_PLAN.concurrency}]`,
    }),
    size: Flags.string({ helpValue: 'BYTES', description: `payload of a large task [default: ${DEFAULT_BENCH_PLAN.sizeBytes}]` }),
  }

  async run(): Promise<BenchAnswer> {
    const { args, flags } = await this.parse(Bench)
    const plan = benchPlanOf(flags, this.settings.timeout)
    this.defaultTimeoutMs += plan.durationMs
    const peer = await this.peerArgument(args.peer)
    const session = await this.session()
    this.cancelled = () => 'cancelled: the measurement is not complete'
    const answer = await showBench(session.bench(peer, plan, this.callOptions), plan, (text) => this.log(text))
    this.notice(rejectionNotice(answer))
    return answer
  }
}
