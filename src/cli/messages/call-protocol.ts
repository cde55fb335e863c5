import type { JsonValue } from '@bufbuild/protobuf'
import { collectBytes } from '../../primitives/collect-bytes.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'
import { toText } from '../../primitives/strict-text.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import type { ProtocolKind } from '../../protocol/api/interceptor.ts'
import type { DescribedAnswer } from '../../session/answers.ts'
import type { Session, SessionOptions } from '../../session/session.ts'
import { type InputOptions, readInput, textPayload } from '../payload.ts'
import { withoutTilde } from '../repl/tilde.ts'
import type { Transfer } from '../text/transfer.ts'
import { decodeResponse, encodeRequest, hidesExtensions } from './message-json.ts'
import { type DynamicSchemas, readSchemas } from './message-schemas.ts'

export interface CallWords {
  peer: string
  protocolId: string
  /** The request as protobuf JSON. */
  data: string
  emitDefaults: boolean
  /** Called for an answer that is too large to be shown with its extensions. */
  onHidden?: () => void
  /** Counts sent and received bytes. */
  transfer?: Transfer
}

/** The size of the chunks of a request. */
const PIECE_BYTES = 256 * 1024

/** The flags that describe a protocol's messages without a request to the peer. */
export interface ProtoFlags {
  proto: string | undefined
  'request-type': string | undefined
  'response-type': string | undefined
  stream: boolean
}

export interface KnownProtocol extends DynamicSchemas {
  kind: ProtocolKind
  /** True if the peer described the messages. */
  isDescribed?: true
}

const SERVED = 'this is what the running peer serves; restart it after a change of its protocol'

/** Base64 and names make JSON longer than the message. */
const JSON_PER_MESSAGE = 4

/** Reads the value of `--data`: JSON, `@FILE`, or stdin for `-`. @throws UsageError, ProtocolError LIMIT_EXCEEDED */
export async function readData(data: string, maxMessageBytes: number, options: InputOptions): Promise<string> {
  // a shell leaves a tilde behind an @ as it is
  const file = data === '-' ? '-' : data.startsWith('@') ? withoutTilde(data.slice(1)) : undefined
  const source = file == null ? textPayload(data) : readInput(file, 'data', options)
  const tooMany = (): ProtocolError =>
    new ProtocolError('LIMIT_EXCEEDED', `the data is longer than ${JSON_PER_MESSAGE} times the ${maxMessageBytes} bytes of a message`, {
      hint: '--max-frame-bytes raises the limit',
    })
  const bytes = await collectBytes(source, { maxBytes: JSON_PER_MESSAGE * maxMessageBytes, tooMany })
  return toText(bytes, file == null || file === '-' ? 'the data' : `the data ${file}`)
}

/** The messages of a protocol, from the flags or else from the peer. @throws UsageError, ProtocolError */
export async function findProtocol(
  session: Session,
  { peer, protocolId }: CallWords,
  flags: ProtoFlags,
  options: SessionOptions,
): Promise<KnownProtocol> {
  if (flags.proto != null) {
    const { readProtoFile } = await import('./proto-file.ts')
    const { 'request-type': requestType, 'response-type': responseType } = flags
    const found = await readProtoFile(flags.proto, { requestType, responseType, timeoutMs: options.timeoutMs })
    return flags.stream ? { ...found, kind: 'server-streaming' } : found
  }
  const lone = (['request-type', 'response-type', 'stream'] as const).find((name) => flags[name])
  if (lone != null) {
    throw new UsageError(`--${lone} needs --proto`, { hint: 'without --proto the peer describes its messages' })
  }
  return toKnown(await session.protocols.describe(peer, protocolId, options))
}

/** @throws ProtocolError for an unusable description */
export function toKnown({ peerId, protocol, fileDescriptorSet }: DescribedAnswer): KnownProtocol {
  const { id, kind, requestType, responseType } = protocol
  if (fileDescriptorSet == null || kind == null || requestType == null || responseType == null) {
    throw new ProtocolError('PROTOCOL_UNSUPPORTED', `${peerId} does not describe the messages of ${id}`, {
      hint: 'the messages are not protobuf, or their description is too large; --proto FILE describes protobuf messages',
    })
  }
  try {
    return { ...readSchemas(fileDescriptorSet, requestType, responseType), kind, isDescribed: true }
  } catch (cause) {
    throw new ProtocolError('REMOTE_FAILED', `${peerId} sent an invalid description of the messages of ${id}: ${describeError(cause)}`, {
      cause,
    })
  }
}

/** Sends the data, and yields each answer as protobuf JSON as it arrives. @throws UsageError, ProtocolError, errors of the session */
export async function* callProtocol(
  session: Session,
  { peer, protocolId, data, emitDefaults, onHidden, transfer }: CallWords,
  known: KnownProtocol,
  options: SessionOptions,
): AsyncGenerator<JsonValue> {
  const request = encodeRequest(data, known, known.isDescribed ? SERVED : undefined)
  const pieces = piecesOf(request)
  const sent = transfer?.sending(pieces, request.byteLength) ?? pieces
  const answers = session.protocols.call(peer, { protocolId, kind: known.kind, request: sent }, options)
  for await (const answer of transfer?.receiving(answers) ?? answers) {
    if (hidesExtensions(answer, known)) {
      onHidden?.()
    }
    yield decodeResponse(answer, known, { emitDefaults })
  }
}

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) {
    yield bytes.subarray(at, at + PIECE_BYTES)
  }
}
