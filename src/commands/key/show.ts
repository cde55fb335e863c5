import { BaseCommand } from '../../cli/base-command.ts'
import { keyFlag } from '../../cli/flags.ts'
import { describeKey, type KeyAnswer } from '../../cli/key-file.ts'
import { wrapped } from '../../cli/text/render.ts'
import { ensureHome } from '../../node/home/home.ts'
import { loadIdentity } from '../../node/home/identity.ts'

export default class KeyShow extends BaseCommand {
  static override summary = 'Show the peer ID, type and file of an identity key, never the key itself.'
  static override examples = ['<%= config.bin %> key show', '<%= config.bin %> key show --key ./worker.key --json']
  static override flags = { ...keyFlag }

  async run(): Promise<KeyAnswer> {
    await this.parse(KeyShow)
    if (this.settings.key == null) {
      await ensureHome(this.home)
    }
    const shown = describeKey(
      await loadIdentity(this.home, this.settings.key, this.callOptions),
      this.settings.key ?? this.home.identityFile,
    )
    this.log(wrapped(`${shown.peerId}  ${shown.type}  ${shown.file}`, process.stdout.columns))
    return shown
  }
}
