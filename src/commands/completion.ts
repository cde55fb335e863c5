import * as Args from '@oclif/core/args'
import { BaseCommand } from '../cli/base-command.ts'
import { COMPLETION_SCRIPTS, type ShellName } from '../cli/completion-scripts.ts'

export default class Completion extends BaseCommand {
  static override summary = 'Print the script that lets a shell complete commands, flags, files and peers.'
  static override description =
    'For bash and zsh, add the first line below to .bashrc or .zshrc. For fish, write a file in ~/.config/fish/completions.'
  static override examples = [
    'source <(<%= config.bin %> completion bash)',
    '<%= config.bin %> completion fish > ~/.config/fish/completions/subnet.fish',
  ]
  static override args = {
    shell: Args.option({ options: Object.keys(COMPLETION_SCRIPTS) as ShellName[] })({
      required: true,
      ignoreStdin: true,
      description: 'bash, zsh or fish',
    }),
  }

  async run(): Promise<{ shell: ShellName; script: string }> {
    const { args } = await this.parse(Completion)
    const script = COMPLETION_SCRIPTS[args.shell]
    this.log(script.trimEnd())
    return { shell: args.shell, script }
  }
}
