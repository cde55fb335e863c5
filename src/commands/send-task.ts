import { randomUUID } from 'node:crypto'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { sendBatch } from '../cli/batch/batch.ts'
import { toTaskJson } from '../cli/batch/task-json.ts'
import { nodeFlags, peerArg } from '../cli/flags.ts'
import { openOutput } from '../cli/output-file.ts'
import { payloadOf, payloadSizeOf } from '../cli/payload.ts'
import { parseCountFlag } from '../cli/text/duration.ts'
import { EXIT_CODES } from '../primitives/errors.ts'
import { printableLines } from '../primitives/printable.ts'
import { ProtocolError } from '../protocol/api/errors.ts'

const DEFAULT_CONCURRENCY = 16
const MAX_CONCURRENCY = 1_024

export default class SendTask extends BaseCommand {
  static override summary = 'Send a task to a peer and print its result.'
  static override description = 'Finds the peer and dials it. The result, and nothing else, goes to stdout.'
  static override examples = [
    '<%= config.bin %> send-task bob --text hello',
    'tar c data | <%= config.bin %> send-task bob --payload - --output result.bin',
    '<%= config.bin %> send-task --batch tasks.ndjson --concurrency 64 > results.ndjson',
  ]
  static override args = { peer: peerArg }
  static override flags = {
    ...nodeFlags,
    payload: Flags.string({ helpValue: 'FILE|-', description: 'what to send: a file, or - for stdin' }),
    text: Flags.string({ helpValue: 'STR', description: 'what to send: this text' }),
    'task-id': Flags.string({ helpValue: 'ID', description: 'at most 256 bytes [default: a random UUID]' }),
    output: Flags.string({ helpValue: 'FILE|-', description: 'where the result goes, whole or not at all; - is stdout' }),
    batch: Flags.string({
      helpValue: 'FILE|-',
      description: 'lines of {"peer","text"|"payloadFile"|"payloadBase64",…}',
      exclusive: ['payload', 'text', 'task-id', 'output'],
    }),
    concurrency: Flags.string({
      helpValue: 'N',
      description: `tasks of a batch at a time [default: ${DEFAULT_CONCURRENCY}]`,
      dependsOn: ['batch'],
    }),
  }

  async run(): Promise<object | undefined> {
    const { args, flags } = await this.parse(SendTask)
    if (flags.batch != null) {
      const concurrency = parseCountFlag('concurrency', flags.concurrency, MAX_CONCURRENCY) ?? DEFAULT_CONCURRENCY
      process.exitCode = await sendBatch(flags.batch, {
        session: await this.session(),
        concurrency,
        defaultPeer: args.peer,
        maxPayloadBytes: this.settings.maxFrameBytes,
        options: this.eachCallOptions,
        write: async (line) => this.writeStdout(line),
      })
      return undefined
    }
    const over = new AbortController()
    const payload = payloadOf(flags, { signal: AbortSignal.any([this.callOptions.signal, over.signal]) })
    const peer = await this.peerArgument(args.peer)
    const output = flags.output == null || flags.output === '-' ? undefined : await openOutput(flags.output, this.callOptions)
    try {
      const task = { taskId: flags['task-id'] ?? randomUUID(), payload, size: await payloadSizeOf(flags) }
      const answer = await (await this.session()).sendTask(peer, task, this.callOptions)
      if (!answer.accepted) {
        process.exitCode = EXIT_CODES.TASK_REJECTED
        if (!this.jsonEnabled()) {
          throw new ProtocolError('TASK_REJECTED', `the peer rejected the task: ${answer.error?.message ?? ''}`)
        }
      } else if (output != null) {
        await output.finish(answer.result)
      } else if (!this.jsonEnabled()) {
        await this.#print(answer.result)
        return undefined
      }
      return await toTaskJson(answer, answer.accepted ? flags.output : undefined)
    } finally {
      // what was not read of it, and may not come to an end
      over.abort()
      await output?.discard()
    }
  }

  /** A result is written as it is, but on a terminal it is the text of somebody else. */
  async #print(result: AsyncIterable<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    for await (const bytes of result) {
      await this.writeStdout(process.stdout.isTTY ? printableLines(decoder.decode(bytes, { stream: true })) : bytes)
    }
  }
}
