import { BaseCommand } from '../cli/base-command.ts'
import { describeStatus } from '../cli/text/status-text.ts'
import { EXIT_CODES } from '../primitives/errors.ts'
import type { StatusAnswer } from '../session/session.ts'

export default class Status extends BaseCommand {
  static override summary = 'Show how the running node is.'
  static override description =
    'Exits with 0 only if it is healthy: it has an address, is connected to somebody if it has bootstraps, its addresses are on the chain if ' +
    'it publishes them, and, where only registered peers are let in, its chain answers. Problems that make no call fail are warnings.'
  static override examples = ['<%= config.bin %> status', "<%= config.bin %> status --json | jq '.tasks'"]

  async run(): Promise<StatusAnswer> {
    await this.parse(Status)
    const status = await (await this.session()).status(this.callOptions)
    this.log(describeStatus(status))
    const failing = status.problems.find((problem) => problem.severity === 'error')
    if (failing != null) {
      process.exitCode = EXIT_CODES[failing.code]
    }
    return status
  }
}
