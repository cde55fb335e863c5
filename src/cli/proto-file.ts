import { readFile } from 'node:fs/promises'
import { create, type DescFile, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type DescriptorProto, type FileDescriptorProto, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { reasonOf } from '../node/home.ts'
import { describeError, UsageError } from '../primitives/errors.ts'
import type { ProtocolKind } from '../protocol/interceptor.ts'
import { type DynamicSchemas, readFiles, readSchemas } from './message-schemas.ts'

export interface ProtoFileOptions {
  /** Full or last names of the two messages. @default those of the only rpc, or the only pair of …Request and …Response */
  requestType?: string | undefined
  responseType?: string | undefined
}

const HINT = '--request-type and --response-type name the two messages'

/** Reads what `--proto` names: a .proto file with what it imports, or a file descriptor set (of protoc or buf). @throws UsageError */
export async function readProtoFile(file: string, options: ProtoFileOptions): Promise<DynamicSchemas & { kind: ProtocolKind }> {
  try {
    const bytes = file.endsWith('.proto') ? await compile(file) : await readFile(file)
    const files = readFiles(bytes)
    const pair = pairOf(files, options)
    return { ...readSchemas(bytes, pair.request, pair.response), kind: pair.kind }
  } catch (cause) {
    if (cause instanceof UsageError) {
      throw cause
    }
    const reason =
      cause instanceof Error && 'code' in cause ? `cannot be read: ${reasonOf(cause)}` : `is not valid: ${describeError(cause)}`
    throw new UsageError(`--proto ${file} ${reason}`, {
      cause,
      hint: 'it is a .proto file, or a descriptor set as "buf build -o" writes it',
    })
  }
}

interface Pair {
  request: string
  response: string
  kind: ProtocolKind
}

function pairOf(files: DescFile[], { requestType, responseType }: ProtoFileOptions): Pair {
  const own = files.filter(({ proto }) => !proto.name.startsWith('google/protobuf/'))
  const messages = own.flatMap((file) => file.messages.map(({ typeName }) => typeName))
  const named = (wanted: string): string => {
    const found = messages.filter((name) => name === wanted || name.endsWith(`.${wanted}`))
    if (found.length !== 1) {
      throw new UsageError(`--proto has ${found.length === 0 ? 'no' : 'more than one'} message ${JSON.stringify(wanted)}`, {
        hint: `it has ${messages.join(', ')}`,
      })
    }
    return found[0] as string
  }
  if (requestType != null || responseType != null) {
    if (requestType == null || responseType == null) {
      throw new UsageError('--request-type and --response-type go together')
    }
    return { request: named(requestType), response: named(responseType), kind: 'unary' }
  }
  const methods = own.flatMap(({ services }) => services.flatMap((service) => service.methods))
  const pairs = messages.flatMap((request) => {
    const response = request.replace(/Request$/, 'Response')
    return response !== request && messages.includes(response) ? [{ request, response, kind: 'unary' as const }] : []
  })
  const [method] = methods
  if (method != null && methods.length === 1) {
    const kind = method.methodKind === 'server_streaming' ? 'server-streaming' : 'unary'
    return { request: method.input.typeName, response: method.output.typeName, kind }
  }
  if (pairs.length !== 1) {
    throw new UsageError(`--proto has ${pairs.length} pairs of a …Request and a …Response, so it does not tell which are meant`, {
      hint: HINT,
    })
  }
  return pairs[0] as Pair
}

/** A file descriptor set of a .proto file and what it imports. */
async function compile(file: string): Promise<Uint8Array> {
  const { default: protobufjs } = await import('protobufjs')
  const { FileDescriptorSet } = (await import('protobufjs/ext/descriptor.js')).default
  const root = new protobufjs.Root()
  await root.load(file, { keepCase: true })
  root.resolveAll()
  const set = fromBinary(FileDescriptorSetSchema, FileDescriptorSet.encode(root.toDescriptor('proto3')).finish())
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: withImports(set.file) }))
}

/** The compiler gives a file for each package, without its imports: these are found by the types that are named, and put first. */
function withImports(files: FileDescriptorProto[]): FileDescriptorProto[] {
  const homes = new Map(
    files.flatMap((file) => file.messageType.flatMap((one) => typeNames(one, `.${file.package}`)).map((name) => [name, file])),
  )
  for (const file of files) {
    for (const one of file.enumType) {
      homes.set(`.${file.package}.${one.name}`, file)
    }
  }
  const sorted = new Set<FileDescriptorProto>()
  const add = (file: FileDescriptorProto, above: FileDescriptorProto[]): void => {
    if (above.includes(file)) {
      throw new Error(`the packages ${file.package} and ${above.at(-1)?.package} import each other`)
    }
    const used = file.messageType.flatMap(namedTypes).flatMap((name) => homes.get(name) ?? [])
    const imports = [...new Set(used)].filter((other) => other !== file)
    file.dependency = imports.map(({ name }) => name)
    for (const other of imports) {
      add(other, [...above, file])
    }
    sorted.add(file)
  }
  for (const file of files) {
    add(file, [])
  }
  return [...sorted]
}

function typeNames({ name, nestedType, enumType }: DescriptorProto, scope: string): string[] {
  const own = `${scope}.${name}`
  return [own, ...enumType.map((one) => `${own}.${one.name}`), ...nestedType.flatMap((one) => typeNames(one, own))]
}

function namedTypes({ field, nestedType }: DescriptorProto): string[] {
  return [...field.map(({ typeName }) => typeName), ...nestedType.flatMap(namedTypes)]
}
