import { shellQuoted } from '../../primitives/shell-words.ts'
import type { DescribedAnswer } from '../../session/answers.ts'
import { toKnown } from './call-protocol.ts'
import { exampleOf } from './message-json.ts'
import { protoText } from './proto-text.ts'
import { PROTOCOL_KINDS } from './protocol-kinds.ts'

/** The answer of "protocol describe". `text` is a .proto file with comments. @throws ProtocolError */
export function describeProtocol(described: DescribedAnswer) {
  const { peerId, protocol } = described
  const { request, files, kind } = toKnown(described)
  const example = exampleOf(request)
  const [only] = files.length === 1 ? files : []
  const proto = only == null ? files.map((file) => `// ${file.proto.name}\n${protoText(file)}`).join('\n') : protoText(only)
  const head = `// ${protocol.id}: ${PROTOCOL_KINDS[kind].answers}`
  const messages = `// ${protocol.requestType} -> ${protocol.responseType}`
  const call = `// subnet call ${peerId} ${protocol.id} --data ${shellQuoted(JSON.stringify(example))}`
  return {
    text: [head, messages, proto, call].join('\n'),
    peerId,
    ...protocol,
    example,
    proto,
    fileDescriptorSetBase64: Buffer.from(described.fileDescriptorSet ?? []).toString('base64'),
  }
}
