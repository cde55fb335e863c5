import * as Args from '@oclif/core/args'
import { BaseCommand } from '../cli/base-command.ts'
import type { BackupAnswer } from '../node/home/backup.ts'

export default class Backup extends BaseCommand {
  static override summary = 'Write a copy of this home to one file, while its node runs or not.'
  static override description =
    'Key, config.json, address book with aliases, and the ledger where it lies in the home. Whoever has the file can be this peer: it has mode 0600, and replaces nothing.'
  static override examples = ['<%= config.bin %> backup worker.backup', '<%= config.bin %> backup "worker-$(date +%F).backup" --json']
  static override args = { file: Args.string({ required: true, ignoreStdin: true, description: 'the file to make' }) }

  async run(): Promise<BackupAnswer> {
    const { args } = await this.parse(Backup)
    const { backUp } = await import('../node/home/backup.ts')
    const answer = await backUp(this.home, this.settings, args.file)
    this.log(`${answer.file}  ${answer.peerId}: ${answer.files.map(({ name }) => name).join(', ')}`)
    for (const left of answer.left) {
      this.logToStderr(`${left} is not in the home, and so not in the backup`)
    }
    return answer
  }
}
