import * as Args from '@oclif/core/args'
import { BaseCommand } from '../cli/base-command.ts'
import { wrapped } from '../cli/text/render.ts'
import type { RestoreAnswer } from '../node/home/restore.ts'

export default class Restore extends BaseCommand {
  static override summary = 'Restore this home from a backup.'
  static override description =
    'The home must have no identity, config or database yet, and no node may run in it. The whole file is checked before anything is written. Never run two nodes with one key.'
  static override examples = [
    '<%= config.bin %> restore worker.backup --home /var/lib/subnet',
    '<%= config.bin %> restore worker.backup --json',
  ]
  static override args = { file: Args.string({ required: true, ignoreStdin: true, description: 'a file made by "backup"' }) }

  async run(): Promise<RestoreAnswer> {
    const { args } = await this.parse(Restore)
    const { restore } = await import('../node/home/restore.ts')
    const answer = await restore(this.home, args.file)
    this.log(wrapped(`${answer.home}  ${answer.peerId}: ${answer.files.map(({ name }) => name).join(', ')}`, process.stdout.columns))
    return answer
  }
}
