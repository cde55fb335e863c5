import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { UsageError } from '../primitives/errors.ts'

export default class Attach extends BaseCommand {
  static override summary = 'Open a shell on the node that runs in this home.'
  static override description = 'Ctrl-D or "exit" ends the shell and leaves the node running; "stop" stops the node.'
  static override examples = ['<%= config.bin %> attach', '<%= config.bin %> attach --script morning.txt --keep-going']
  static override flags = {
    script: Flags.string({ helpValue: 'FILE|-', description: 'run the lines of this file' }),
    'keep-going': Flags.boolean({ description: 'continue the script after a line that fails', dependsOn: ['script'] }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Attach)
    if (this.shell != null) {
      throw new UsageError(`this shell already runs on the node of ${this.home.path}`)
    }
    const { attach } = await import('../cli/repl/attach.ts')
    const { home, settings, sources, config } = this
    process.exitCode = await attach({
      context: { session: await this.session(), home, settings, sources },
      config,
      json: this.jsonEnabled(),
      script: flags.script,
      keepGoing: flags['keep-going'],
      signal: this.interrupted.signal,
    })
  }
}
