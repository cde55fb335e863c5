import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { sendBatch } from '../cli/batch/batch.ts'
import type { TaskJson } from '../cli/batch/task-json.ts'
import { nodeFlags, peerArg } from '../cli/flags.ts'
import { sendOne } from '../cli/send-one.ts'
import { parseCountFlag } from '../cli/text/duration.ts'

const DEFAULT_CONCURRENCY = 16
const MAX_CONCURRENCY = 1_024

export default class SendTask extends BaseCommand {
  static override summary = 'Send a task to a peer and print its result.'
  static override description = 'Finds the peer and dials it. Only the result goes to stdout.'
  static override examples = [
    '<%= config.bin %> send-task bob --text hello',
    '<%= config.bin %> send-task --batch tasks.ndjson --resume results.ndjson',
  ]
  static override args = { peer: peerArg }
  static override flags = {
    ...nodeFlags,
    payload: Flags.string({ helpValue: 'FILE|-', description: 'the payload: a file, or - for stdin' }),
    text: Flags.string({ helpValue: 'STR', description: 'the payload as text' }),
    'task-id': Flags.string({ helpValue: 'ID', description: 'at most 256 bytes [default: a random UUID]' }),
    output: Flags.string({ helpValue: 'FILE|-', description: 'write the result here, whole or not at all; - is stdout' }),
    batch: Flags.string({
      helpValue: 'FILE|-',
      description: 'lines of {"peer","text"|"payloadFile"|"payloadBase64",…}',
      exclusive: ['payload', 'text', 'task-id', 'output'],
    }),
    resume: Flags.string({
      helpValue: 'RESULTS',
      description: 'append results to this file, skip the tasks it answers',
      dependsOn: ['batch'],
    }),
    concurrency: Flags.string({
      helpValue: 'N',
      description: `tasks of a batch at a time [default: ${DEFAULT_CONCURRENCY}]`,
      dependsOn: ['batch'],
    }),
  }

  async run(): Promise<TaskJson | undefined> {
    const { args, flags } = await this.parse(SendTask)
    if (flags.batch != null) {
      const concurrency = parseCountFlag('concurrency', flags.concurrency, MAX_CONCURRENCY) ?? DEFAULT_CONCURRENCY
      process.exitCode = await sendBatch(flags.batch, {
        session: async () => this.session(),
        concurrency,
        defaultPeer: args.peer == null ? undefined : await this.peerNamed(args.peer),
        peerNamed: async (peer) => this.peerNamed(peer, false, () => this.eachCallOptions),
        resume: flags.resume,
        maxPayloadBytes: this.settings.maxFrameBytes,
        options: this.eachCallOptions,
        write: async (line) => this.writeStdout(line),
      })
      return undefined
    }
    return sendOne(flags, {
      peer: async () => this.peerArgument(args.peer),
      session: async () => this.session(),
      options: this.callOptions,
      json: this.jsonEnabled(),
      folders: ['.', this.home.path],
      notice: (text) => this.tell(text),
      onCancel: (text) => {
        this.cancelled = text
      },
      write: async (bytes) => this.writeStdout(bytes),
    })
  }
}
