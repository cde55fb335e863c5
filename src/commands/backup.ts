import * as Args from '@oclif/core/args'
import { BaseCommand } from '../cli/base-command.ts'
import { wrapped } from '../cli/text/render.ts'
import type { BackupAnswer } from '../node/home/backup.ts'

export default class Backup extends BaseCommand {
  static override summary = 'Write a copy of this home to one file; the node may keep running.'
  static override description =
    'The file holds the key, config.json, the address book with aliases, and a ledger in the home. Anyone who has the file can act as this peer, so its mode is 0600. An existing file is never replaced.'
  static override examples = ['<%= config.bin %> backup worker.backup', '<%= config.bin %> backup "worker-$(date +%F).backup" --json']
  static override args = { file: Args.string({ required: true, ignoreStdin: true, description: 'the file to make' }) }

  async run(): Promise<BackupAnswer> {
    const { args } = await this.parse(Backup)
    const { backUp } = await import('../node/home/backup.ts')
    const answer = await backUp(this.home, this.settings, args.file)
    this.log(wrapped(`${answer.file}  ${answer.peerId}: ${answer.files.map(({ name }) => name).join(', ')}`, process.stdout.columns))
    for (const left of answer.left) {
      this.logToStderr(`${left} is outside the home: the backup does not contain it`)
    }
    return answer
  }
}
