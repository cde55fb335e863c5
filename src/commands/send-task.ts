import { randomUUID } from 'node:crypto'
import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags } from '../cli/flags.ts'
import { openOutput } from '../cli/output-file.ts'
import { payloadOf } from '../cli/payload.ts'
import { toTaskJson } from '../cli/task-json.ts'
import { parsePeerTarget } from '../primitives/address.ts'
import { ProtocolError } from '../protocol/errors.ts'

export default class SendTask extends BaseCommand {
  static override summary = 'Send a task to a peer and print its result.'
  static override description =
    'Finds the peer, dials it, sends one request and reads one answer. The result, and nothing else, goes to stdout.'
  static override examples = [
    '<%= config.bin %> send-task 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb --text hello',
    'tar c data | <%= config.bin %> send-task 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb --payload - --output result.bin',
  ]
  static override args = {
    peer: Args.string({ required: true, ignoreStdin: true, description: 'a peer ID, or a multiaddr that ends in /p2p/<peer ID>' }),
  }
  static override flags = {
    ...nodeFlags,
    payload: Flags.string({ helpValue: 'FILE|-', description: 'what to send: a file, or - for stdin' }),
    text: Flags.string({ helpValue: 'STR', description: 'what to send: this text' }),
    'task-id': Flags.string({ helpValue: 'ID', description: 'at most 256 bytes [default: a random UUID]' }),
    output: Flags.string({ helpValue: 'FILE|-', description: 'where the result goes: a file, there whole or not at all, or - for stdout' }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(SendTask)
    parsePeerTarget(args.peer)
    const payload = await payloadOf(flags, { ...this.callOptions, maxBytes: this.settings.maxFrameBytes })
    const output = flags.output == null || flags.output === '-' ? undefined : await openOutput(flags.output)
    try {
      const task = { taskId: flags['task-id'] ?? randomUUID(), payload }
      const answer = await (await this.session()).sendTask(args.peer, task, this.callOptions)
      if (!answer.accepted) {
        process.exitCode = 7
        if (!this.jsonEnabled()) {
          throw new ProtocolError('TASK_REJECTED', `the peer rejected the task: ${answer.error?.message ?? ''}`)
        }
      } else if (output != null) {
        await output.finish(answer.result)
      } else if (!this.jsonEnabled()) {
        await this.writeStdout(answer.result)
      }
      return toTaskJson(answer, answer.accepted ? flags.output : undefined)
    } finally {
      await output?.discard()
    }
  }
}
