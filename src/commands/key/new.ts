import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.ts'
import { makeKey } from '../../cli/key-file.ts'

export default class KeyNew extends BaseCommand {
  static override summary = 'Make an Ed25519 identity key (0600).'
  static override description =
    'Without --key it becomes the identity of the home. A key that is there already is only replaced with --force.'
  static override examples = ['<%= config.bin %> key new', '<%= config.bin %> key new --key ./worker.key --json']
  static override flags = {
    key: Flags.string({ helpValue: 'FILE', description: 'where it goes [default: identity.key in the home]' }),
    force: Flags.boolean({ description: 'replace a key that is there: its peer ID is lost for ever' }),
  }

  async run(): Promise<{ peerId: string; type: string; file: string }> {
    const { flags } = await this.parse(KeyNew)
    const file = this.settings.key ?? this.home.identityFile
    const privateKey = await makeKey(this.home, file, flags.force)
    const made = { peerId: peerIdFromPrivateKey(privateKey as never).toString(), type: privateKey.type, file }
    this.log(`${made.peerId}  ${made.type}  ${made.file}`)
    return made
  }
}
