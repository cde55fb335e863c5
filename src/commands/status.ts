import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { parseDurationFlag } from '../cli/text/duration.ts'
import { describeStatus } from '../cli/text/status-text.ts'
import { waitForStatus } from '../cli/wait-for-status.ts'
import { EXIT_CODES } from '../primitives/errors.ts'
import type { StatusAnswer } from '../session/answers.ts'

export default class Status extends BaseCommand {
  static override summary = 'Show how the running node is.'
  static override description =
    'Exits with 0 only if it is healthy: it has an address, is connected to somebody if it has bootstraps, its addresses are on the chain if ' +
    'it publishes them, and, where only registered peers are let in, its chain answers. Problems that make no call fail are warnings.'
  static override examples = [
    '<%= config.bin %> status',
    "<%= config.bin %> status --json | jq '.tasks'",
    '<%= config.bin %> status --wait 30s && <%= config.bin %> send-task bob --text hello',
  ]
  static override flags = {
    wait: Flags.string({ helpValue: 'DUR', description: 'wait so long for a node that runs and is healthy; then exit with what it has' }),
  }

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
