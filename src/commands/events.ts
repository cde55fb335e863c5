import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { eventLine } from '../cli/repl/events.ts'
import { PeerLabels } from '../cli/repl/peer-labels.ts'
import { parseDurationFlag } from '../cli/text/duration.ts'
import { jsonText } from '../cli/text/json.ts'
import { UsageError } from '../primitives/errors.ts'
import { EVENT_CHOICES } from '../session/event-types.ts'

/** Interval between two reads of the aliases while events arrive, in milliseconds. */
const ALIASES_EVERY_MS = 1_000

export default class Events extends BaseCommand {
  static override summary = 'Follow the events of the running node until Ctrl-C.'
  static override description =
    'Shows connections, heartbeats, resolutions, tasks in and out, refusals and problems. The node keeps the last 10,000 events. --json prints one event per line.'
  static override examples = ['<%= config.bin %> events --type task --since 10m', "<%= config.bin %> events --json | jq 'select(.reason)'"]
  static override args = {
    state: Args.option({ options: ['on', 'off'] as const })({
      ignoreStdin: true,
      description: 'in the shell of a node: show events above the prompt, or not',
    }),
  }
  static override flags = {
    type: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      options: EVENT_CHOICES,
      helpValue: 'TYPE',
      description: 'only this type: task, task:sent, peer, resolve, refusal, problem, chain, …',
    }),
    since: Flags.string({ helpValue: 'DUR', description: 'first print the kept events of this period' }),
  }
  protected override readonly needsNode = true

  async run(): Promise<{ events: 'on' | 'off' } | undefined> {
    const { args, flags } = await this.parse(Events)
    if (args.state != null) {
      return this.#turn(args.state, flags.type != null || flags.since != null)
    }
    const sinceMs = parseDurationFlag('since', flags.since)
    const session = await this.session()
    const { signal } = this.interrupted
    const json = this.jsonEnabled()
    const onOlder = (): void => this.tell('the node runs an earlier version: it sends fewer events, and none from before now')
    const labels = new PeerLabels(session.aliases, ALIASES_EVERY_MS)
    this.#quieten(true)
    try {
      for await (const events of session.events({ types: flags.type ?? [], sinceMs, signal, onOlder })) {
        await (json ? undefined : labels.refresh())
        const { columns } = process.stdout
        await this.writeStdout(events.map((event) => `${json ? jsonText(event) : eventLine(event, labels.of, columns)}\n`).join(''))
      }
    } finally {
      this.#quieten(false)
    }
    // a cancelled line of a shell ends like a process ended by a signal
    signal.throwIfAborted()
    return undefined
  }

  #quieten(shown: boolean): void {
    if (this.shell != null) {
      this.shell.quiet.shown = shown
    }
  }

  #turn(events: 'on' | 'off', hasFlags: boolean): { events: 'on' | 'off' } {
    if (this.shell == null) {
      throw new UsageError(`"events ${events}" works only in the shell of a node`, {
        hint: `"subnet attach" opens a shell; "subnet events" without "${events}" follows the events`,
      })
    }
    if (hasFlags) {
      throw new UsageError(`"events ${events}" takes no flags`, { hint: `the flags choose the events to follow: leave out "${events}"` })
    }
    this.shell.quiet.muted = events === 'off'
    this.logToStderr(events === 'off' ? 'events are hidden; "events on" shows them again' : 'events are shown')
    return { events }
  }
}
