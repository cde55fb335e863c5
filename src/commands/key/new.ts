import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../../cli/base-command.ts'
import { forceFlag } from '../../cli/flags.ts'
import { type KeyAnswer, putKey } from '../../cli/key-file.ts'
import { wrapped } from '../../cli/text/render.ts'
import { newKey } from '../../node/home/identity.ts'

export default class KeyNew extends BaseCommand {
  static override summary = 'Make an Ed25519 identity key (0600).'
  static override description = 'Without --key, the key becomes the identity of the home.'
  static override examples = ['<%= config.bin %> key new', '<%= config.bin %> key new --key ./worker.key --json']
  static override flags = {
    key: Flags.string({ helpValue: 'FILE', description: 'the key file to write [default: identity.key in the home]' }),
    force: forceFlag,
  }

  async run(): Promise<KeyAnswer> {
    const { flags } = await this.parse(KeyNew)
    const { home, confirm } = this
    const made = await putKey(await newKey(), this.settings.key ?? home.identityFile, { home, force: flags.force, confirm })
    this.log(wrapped(`${made.peerId}  ${made.type}  ${made.file}`, process.stdout.columns))
    if (made.file === home.identityFile) {
      await this.tellOfRestart()
    }
    return made
  }
}
