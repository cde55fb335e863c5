import * as Args from '@oclif/core/args'
import { BaseCommand } from '../../cli/base-command.ts'
import type { NewProtocol, OwnPackage } from '../../cli/new-protocol.ts'
import { describeNext, protocolCommands } from '../../cli/next-commands.ts'

export default class ProtocolNew extends BaseCommand {
  static override summary = 'Create a small, complete project with a protocol of your own.'
  static override description = 'The new folder of that name has two messages, a class, a handler, and a test with two real nodes.'
  static override examples = ['<%= config.bin %> protocol new greet', '<%= config.bin %> protocol new key-value --json']
  static override args = {
    name: Args.string({ required: true, ignoreStdin: true, description: 'lower-case letters, digits and hyphens, such as key-value' }),
  }

  async run(): Promise<NewProtocol> {
    const { args } = await this.parse(ProtocolNew)
    const { newProtocol } = await import('../../cli/new-protocol.ts')
    const { pjson, root, version } = this.config
    const made = await newProtocol(args.name, { ...(pjson as Partial<OwnPackage>), root, version })
    this.log(made.folder)
    this.logToStderr(`${made.files.length} files; src/handler.ts has the line to change`)
    if (!this.jsonEnabled()) {
      // a command that is copied must not be wrapped
      process.stderr.write(`${describeNext(protocolCommands(made))}\n`)
    }
    return made
  }
}
