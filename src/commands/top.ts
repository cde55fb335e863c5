import { BaseCommand } from '../cli/base-command.ts'
import { UsageError } from '../primitives/errors.ts'

const ELSEWHERE = 'in scripts, "subnet events --json" prints the events and "subnet status --json" the state of the node'

export default class Top extends BaseCommand {
  static override summary = 'Watch the running node: a live view of one screen.'
  static override description =
    'Shows task rates, peers by traffic, failed tasks with reasons, tiers and connections. Needs a terminal of at least 80x24. ' +
    'Keys: s sorts, / filters, Enter opens a peer, p pauses, ? shows help, q quits. The node keeps running.'
  static override examples = ['<%= config.bin %> top', '<%= config.bin %> top --home /var/lib/subnet']
  protected override readonly needsNode = true

  async run(): Promise<void> {
    await this.parse(Top)
    const { home, shell, settings } = this
    if (this.jsonEnabled()) {
      throw new UsageError('top draws a screen and has no JSON output', { hint: ELSEWHERE })
    }
    if (!process.stdin.isTTY || !process.stdout.isTTY || (shell != null && shell.ask == null)) {
      throw new UsageError('top needs a terminal', { hint: ELSEWHERE })
    }
    if (process.env.TERM === 'dumb') {
      throw new UsageError('top needs a terminal that can move the cursor, not TERM=dumb', { hint: ELSEWHERE })
    }
    const session = await this.session()
    const { top } = await import('../cli/top/top.ts')
    await this.ask(async () => top({ session, home: home.path, answerWithinMs: settings.timeout, signal: this.interrupted.signal }))
  }

  /** Signals must restore the terminal before the process ends. */
  protected override get endedBy(): NodeJS.Signals[] {
    return [...super.endedBy, 'SIGHUP', 'SIGQUIT']
  }
}
