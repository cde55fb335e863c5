import * as Args from '@oclif/core/args'
import { BaseCommand } from '../../cli/base-command.ts'
import { forceFlag, keyFlag } from '../../cli/flags.ts'
import { type KeyAnswer, putKey } from '../../cli/key-file.ts'
import { wrapped } from '../../cli/text/render.ts'
import { ensureHome } from '../../node/home/home.ts'
import { loadIdentity } from '../../node/home/identity.ts'
import { UsageError } from '../../primitives/errors.ts'

export default class KeyExport extends BaseCommand {
  static override summary = 'Write the identity key to another file (0600).'
  static override description =
    'The file holds a libp2p private key in protobuf form. Anyone who has the key can act as this peer, so it never goes to stdout.'
  static override examples = [
    '<%= config.bin %> key export ./peer.key',
    '<%= config.bin %> key export ./copy.key --key ./worker.key --json',
  ]
  static override args = { file: Args.string({ required: true, ignoreStdin: true, description: 'the file to write' }) }
  static override flags = { ...keyFlag, force: forceFlag }

  async run(): Promise<KeyAnswer> {
    const { args, flags } = await this.parse(KeyExport)
    const { home, confirm } = this
    if (args.file === '-') {
      throw new UsageError('a key is never written to stdout', { hint: 'name a file; only you will be able to read it (mode 0600)' })
    }
    if (this.settings.key == null) {
      await ensureHome(home)
    }
    const privateKey = await loadIdentity(home, this.settings.key, this.callOptions)
    const exported = await putKey(privateKey, args.file, { home, force: flags.force, confirm })
    this.log(wrapped(`${exported.peerId}  ${exported.type}  ${exported.file}`, process.stdout.columns))
    return exported
  }
}
