import { type DescFile, type DescMethod, toBinary } from '@bufbuild/protobuf'
import { nestedTypes } from '@bufbuild/protobuf/reflect'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { reasonOf } from '../../node/home/home.ts'
import { isDeadline } from '../../primitives/deadline.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'
import { readInputFile } from '../../primitives/input-file.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import type { ProtocolKind } from '../../protocol/api/interceptor.ts'
import { type DynamicSchemas, readFiles, readSchemas } from './message-schemas.ts'
import { compileProto, MAX_PROTO_BYTES } from './proto-compiler.ts'

export interface ProtoFileOptions {
  /** Full or last names of the two messages. @default the types of the only rpc, or the only pair of …Request and …Response */
  requestType?: string | undefined
  responseType?: string | undefined
  /** The maximum time to read the file, which may be a pipe. @default no limit */
  timeoutMs?: number | undefined
}

/** The maximum number of messages named in a hint. */
const MAX_NAMED = 30
const HINT = '--request-type and --response-type name the two messages'

/** Reads the file of `--proto`: a .proto file with its imports, or a file descriptor set from protoc or buf. @throws UsageError */
export async function readProtoFile(
  file: string,
  { timeoutMs, ...options }: ProtoFileOptions,
): Promise<DynamicSchemas & { kind: ProtocolKind }> {
  try {
    const bytes = file.endsWith('.proto')
      ? toBinary(FileDescriptorSetSchema, await compileProto(file, timeoutMs))
      : await readInputFile(file, { timeoutMs, maxBytes: MAX_PROTO_BYTES })
    const files = readFiles(bytes)
    const pair = pairOf(files, file.endsWith('.proto') ? files.at(-1) : undefined, options)
    return { ...readSchemas(bytes, pair.request, pair.response), kind: pair.kind }
  } catch (cause) {
    if (cause instanceof UsageError) {
      throw cause
    }
    if (isDeadline(cause)) {
      throw new ProtocolError('TIMEOUT', `--proto ${file} did not end in time; nothing was sent`, {
        cause,
        hint: '--timeout DUR allows more time',
      })
    }
    const reason =
      cause instanceof Error && 'code' in cause ? `cannot be read: ${reasonOf(cause)}` : `is not valid: ${describeError(cause)}`
    throw new UsageError(`--proto ${file} ${reason}`, {
      cause,
      hint: '--proto takes a .proto file, or a descriptor set as "buf build -o" writes it',
    })
  }
}

/** The protocol kind for each kind of rpc. A client stream is called with a single request. */
const KINDS = {
  unary: 'unary',
  server_streaming: 'server-streaming',
  client_streaming: 'unary',
  bidi_streaming: 'unary',
} satisfies Record<DescMethod['methodKind'], ProtocolKind>

interface Pair {
  request: string
  response: string
  kind: ProtocolKind
}

/** @param entry the .proto file; undefined for a file descriptor set */
function pairOf(files: DescFile[], entry: DescFile | undefined, { requestType, responseType }: ProtoFileOptions): Pair {
  const own = files.filter(({ proto }) => !proto.name.startsWith('google/protobuf/'))
  if (own.every((file) => messageNames(file).length === 0)) {
    throw new UsageError('--proto describes no messages', {
      hint: '--proto takes a .proto file with a message for the request and one for the response',
    })
  }
  if (requestType != null || responseType != null) {
    if (requestType == null || responseType == null) {
      throw new UsageError('--request-type and --response-type go together')
    }
    const names = own.flatMap(messageNames)
    return { request: named(requestType, names), response: named(responseType, names), kind: 'unary' }
  }
  const pairs = (entry == null ? own : [entry]).flatMap(methodsOrPairs)
  if (pairs.length !== 1) {
    throw new UsageError(`--proto has ${pairs.length} pairs of a …Request and a …Response, so the messages have to be named`, {
      hint: HINT,
    })
  }
  return pairs[0] as Pair
}

/** The request and response types of a file's rpcs; without rpcs, the message pairs with matching names. */
function methodsOrPairs({ services, messages }: DescFile): Pair[] {
  const methods = services.flatMap((service) => service.methods)
  if (methods.length > 0) {
    return methods.map(({ methodKind, input, output }) => ({
      request: input.typeName,
      response: output.typeName,
      kind: KINDS[methodKind],
    }))
  }
  const names = new Set(messages.map(({ typeName }) => typeName))
  return [...names].flatMap((request) => {
    const response = request.replace(/Request$/, 'Response')
    return response !== request && names.has(response) ? [{ request, response, kind: 'unary' as const }] : []
  })
}

function messageNames(file: DescFile): string[] {
  return [...nestedTypes(file)].flatMap((type) => (type.kind === 'message' ? [type.typeName] : []))
}

function named(wanted: string, names: string[]): string {
  const found = names.filter((name) => name === wanted || name.endsWith(`.${wanted}`))
  const [exact = found[0]] = found.filter((name) => name === wanted)
  if (exact == null || (found.length > 1 && exact !== wanted)) {
    throw new UsageError(`--proto has ${found.length === 0 ? 'no' : 'more than one'} message ${JSON.stringify(wanted)}`, {
      hint: `the file has ${(found.length === 0 ? names : found).slice(0, MAX_NAMED).join(', ')}`,
    })
  }
  return exact
}
