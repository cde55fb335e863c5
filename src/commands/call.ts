import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../cli/base-command.ts'
import { nodeFlags, peerArg, protocolArg } from '../cli/flags.ts'
import { PROTOCOL_KINDS } from '../cli/messages/protocol-kinds.ts'
import { printableLines } from '../primitives/printable.ts'

export default class Call extends BaseCommand {
  static override summary = 'Call a protocol of a peer, with JSON in and JSON out.'
  static override examples = [
    `<%= config.bin %> call bob /example/greet/1.0.0 --data '{"name": "Ada"}'`,
    '<%= config.bin %> call bob /example/greet/1.0.0 --data @request.json --proto greet.proto',
  ]
  static override args = { peer: peerArg, protocol: protocolArg }
  static override flags = {
    ...nodeFlags,
    data: Flags.string({ helpValue: 'JSON|@FILE|-', default: '{}', description: 'the request; - for stdin [default: {}]' }),
    'emit-defaults': Flags.boolean({ description: 'also show fields that have their default value' }),
    proto: Flags.string({ helpValue: 'FILE', description: '.proto or descriptor set, for peers without reflection' }),
    'request-type': Flags.string({ helpValue: 'NAME', description: 'request message in --proto [default: the only …Request]' }),
    'response-type': Flags.string({ helpValue: 'NAME', description: 'response message in --proto [default: its …Response]' }),
    stream: Flags.boolean({ description: 'with --proto: expect many answers, one per line' }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Call)
    this.cancelled = () => 'cancelled: the request was not sent'
    const { peer, protocolId } = await this.protocolArguments(args)
    const { callProtocol, findProtocol, readData } = await import('../cli/messages/call-protocol.ts')
    const data = await readData(flags.data, this.settings.maxFrameBytes, this.callOptions)
    const onHidden = (): void => this.tell('answers over 1 MiB are shown without extensions')
    const words = { peer, protocolId, data, emitDefaults: flags['emit-defaults'], onHidden }
    const protoFlags = {
      proto: flags.proto,
      'request-type': flags['request-type'],
      'response-type': flags['response-type'],
      stream: flags.stream,
    }
    const session = await this.session()
    const known = await findProtocol(session, words, protoFlags, this.callOptions)
    const { many } = PROTOCOL_KINDS[known.kind]
    const pretty = !many && !this.jsonEnabled()
    const { Transfer } = await import('../cli/text/transfer.ts')
    // several answers already show the progress
    using transfer = many ? undefined : new Transfer()
    let answers = 0
    this.cancelled = () =>
      `cancelled after ${transfer?.howFar ?? `${answers} answer${answers === 1 ? '' : 's'}`}: the peer may have acted on the request`
    for await (const answer of callProtocol(session, { ...words, ...(transfer == null ? {} : { transfer }) }, known, this.callOptions)) {
      answers++
      const text = JSON.stringify(answer, undefined, pretty ? 2 : undefined)
      await this.writeStdout(`${process.stdout.isTTY ? printableLines(text) : text}\n`)
    }
    transfer?.tell()
  }
}
