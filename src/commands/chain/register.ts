import * as Flags from '@oclif/core/flags'
import { NODE_CLASSES } from '../../chain/registry.ts'
import { BaseCommand } from '../../cli/base-command.ts'
import { chainFlags } from '../../cli/flags.ts'
import type { RegistrationAnswer } from '../../session/answers.ts'

export default class ChainRegister extends BaseCommand {
  static override summary = 'Register this peer in the subnet, or change its class.'
  static override description =
    'Each class includes the ones before it. A chain that registers peers by its own means refuses this command.'
  static override examples = [
    '<%= config.bin %> chain register',
    '<%= config.bin %> chain register --class validator --chain ledger:/tmp/subnet.db --json',
  ]
  static override flags = {
    ...chainFlags,
    class: Flags.option({ options: NODE_CLASSES })({
      helpValue: 'CLASS',
      default: 'registered',
      description: 'registered, idle, included or validator [default: registered]',
    }),
  }

  async run(): Promise<RegistrationAnswer> {
    const { flags } = await this.parse(ChainRegister)
    const registration = await (await this.session()).chain.register(flags.class, this.callOptions)
    const { peerId, class: as } = registration
    this.log(as === 'registered' ? `${peerId} is registered` : `${peerId} is registered as ${as}`)
    this.logToStderr(`registered at block ${registration.block}`)
    return registration
  }
}
