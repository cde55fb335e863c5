import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { parseDurationFlag } from '../cli/text/duration.ts'
import { describeStatus } from '../cli/text/status-text.ts'
import { waitForStatus } from '../cli/wait-for-status.ts'
import { EXIT_CODES } from '../primitives/errors.ts'
import type { StatusAnswer } from '../session/answers.ts'

export default class Status extends BaseCommand {
  static override summary = 'Show the health of the running node.'
  static override description =
    'Exits with 0 only if the node is healthy: it has an address; with bootstraps, it is connected to a peer; with --publish, its addresses are ' +
    'on the chain; with --admission registered, its chain answers. Problems that make no call fail are warnings.'
  static override examples = [
    '<%= config.bin %> status',
    "<%= config.bin %> status --json | jq '.tasks'",
    '<%= config.bin %> status --wait 30s && <%= config.bin %> send-task bob --text hello',
  ]
  static override flags = {
    wait: Flags.string({ helpValue: 'DUR', description: 'wait up to this long for a healthy node' }),
  }
  protected override readonly needsNode = true

  async run(): Promise<StatusAnswer> {
    const { flags } = await this.parse(Status)
    const waitMs = parseDurationFlag('wait', flags.wait)
    const status = waitMs == null ? await (await this.session()).status(this.callOptions) : await this.#waited(waitMs)
    this.log(describeStatus(status, process.stdout.columns))
    const failing = status.problems.find((problem) => problem.severity === 'error')
    if (failing != null) {
      process.exitCode = EXIT_CODES[failing.code]
    }
    return status
  }

  async #waited(waitMs: number): Promise<StatusAnswer> {
    this.defaultTimeoutMs += waitMs
    const ask = async (timeoutMs: number): Promise<StatusAnswer> => {
      const session = await this.sessionAnew()
      const { callOptions } = this
      return session.status({ ...callOptions, timeoutMs: Math.min(timeoutMs, callOptions.timeoutMs) })
    }
    return waitForStatus(ask, waitMs, this.interrupted.signal)
  }
}
