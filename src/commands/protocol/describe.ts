import { BaseCommand } from '../../cli/base-command.ts'
import { nodeFlags, peerArg, protocolArg } from '../../cli/flags.ts'
import type { describeProtocol } from '../../cli/messages/describe-protocol.ts'
import { printableLines } from '../../primitives/printable.ts'

export default class ProtocolDescribe extends BaseCommand {
  static override summary = "Show the messages of a peer's protocol as .proto text and as sample JSON."
  static override examples = [
    '<%= config.bin %> protocol describe bob /example/greet/1.0.0 > greet.proto',
    '<%= config.bin %> protocol describe bob /example/greet/1.0.0 --json | jq .example',
  ]
  static override args = { peer: peerArg, protocol: protocolArg }
  static override flags = nodeFlags

  async run(): Promise<Omit<ReturnType<typeof describeProtocol>, 'text'>> {
    const { args } = await this.parse(ProtocolDescribe)
    const { peer, protocolId } = await this.protocolArguments(args)
    const described = await (await this.session()).protocols.describe(peer, protocolId, this.callOptions)
    const messages = await import('../../cli/messages/describe-protocol.ts')
    const { text, ...answer } = messages.describeProtocol(described)
    this.log(printableLines(text))
    return answer
  }
}
