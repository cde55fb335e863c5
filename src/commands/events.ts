import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { eventLine } from '../cli/repl/events.ts'
import { PeerLabels } from '../cli/repl/peer-labels.ts'
import { parseDurationFlag } from '../cli/text/duration.ts'
import { EVENT_CHOICES } from '../session/event-types.ts'

/** How often the aliases are read while events come. */
const ALIASES_EVERY_MS = 1_000

export default class Events extends BaseCommand {
  static override summary = 'Follow what happens on the running node, until Ctrl-C.'
  static override description =
    'Connections, heartbeats, resolutions, tasks in and out, refusals, problems. The node keeps the last 10,000. With --json, one event a line.'
  static override examples = ['<%= config.bin %> events --type task --since 10m', "<%= config.bin %> events --json | jq 'select(.reason)'"]
  static override flags = {
    type: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      options: EVENT_CHOICES,
      helpValue: 'TYPE',
      description: 'only these: as task, task:sent, peer, resolve, refusal, problem, chain',
    }),
    since: Flags.string({ helpValue: 'DUR', description: 'first what happened in the time before, as far as it is kept' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Events)
    const sinceMs = parseDurationFlag('since', flags.since)
    const session = await this.session()
    const { signal } = this.interrupted
    const json = this.jsonEnabled()
    const onOlder = (): void => this.tell('the node is of an earlier version: it tells less, and nothing of before')
    const labels = new PeerLabels(session.aliases, ALIASES_EVERY_MS)
    this.#quieten(true)
    try {
      for await (const events of session.events({ types: flags.type ?? [], sinceMs, signal, onOlder })) {
        await (json ? undefined : labels.refresh())
        await this.writeStdout(events.map((event) => `${json ? JSON.stringify(event) : eventLine(event, labels.of)}\n`).join(''))
      }
    } finally {
      this.#quieten(false)
    }
    // a line of a shell that was cancelled, as a process that a signal ends
    signal.throwIfAborted()
  }

  #quieten(events: boolean): void {
    if (this.shell != null) {
      this.shell.quiet.events = events
    }
  }
}
