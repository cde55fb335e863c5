import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../../cli/base-command.ts'
import { forceFlag } from '../../cli/flags.ts'
import { type KeyAnswer, putKey } from '../../cli/key-file.ts'
import { readInput } from '../../cli/payload.ts'
import { wrapped } from '../../cli/text/render.ts'
import { readKey, readKeyFile } from '../../node/home/identity.ts'

export default class KeyImport extends BaseCommand {
  static override summary = 'Import the identity key of another libp2p program from a file.'
  static override description =
    'Reads a libp2p private key in protobuf form (ed25519, secp256k1, rsa), as "key export", kubo and py-libp2p write it.'
  static override examples = [
    '<%= config.bin %> key import ./peer.key',
    'ssh old cat identity.key | <%= config.bin %> key import - --key ./moved.key',
  ]
  static override args = { file: Args.string({ required: true, ignoreStdin: true, description: 'the key file, or - for stdin' }) }
  static override flags = {
    key: Flags.string({ helpValue: 'FILE', description: 'the key file to write [default: identity.key in the home]' }),
    force: forceFlag,
  }

  async run(): Promise<KeyAnswer> {
    const { args, flags } = await this.parse(KeyImport)
    const { home, confirm } = this
    const privateKey =
      args.file === '-' ? await readKey(readInput('-', 'key', this.callOptions), 'the key') : await readKeyFile(args.file, this.callOptions)
    const imported = await putKey(privateKey, this.settings.key ?? home.identityFile, { home, force: flags.force, confirm })
    this.log(wrapped(`${imported.peerId}  ${imported.type}  ${imported.file}`, process.stdout.columns))
    if (imported.file === home.identityFile) {
      await this.tellOfRestart()
    }
    return imported
  }
}
