import { createFileRegistry, createRegistry, type DescFile, type DescMessage, fromBinary, type Registry } from '@bufbuild/protobuf'
import { protoCamelCase } from '@bufbuild/protobuf/reflect'
import { type DescriptorProto, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { printable } from '../../primitives/printable.ts'

/** The request and response messages of a protocol, from a local or a remote schema. */
export interface DynamicSchemas {
  request: DescMessage
  response: DescMessage
  /** All types in the schema, for `google.protobuf.Any`. */
  registry: Registry
  /** True if the schema has extensions. */
  hasExtensions: boolean
  /** The schema's files, without protobuf's own. */
  files: DescFile[]
}

/** The names that protobuf allows. A schema may come from a stranger. */
const NAME = /^[A-Za-z_]\w{0,255}$/
const FULL_NAME = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/
const MAX_JSON_NAME = 256
const FILE_NAME = /^[\w./+-]{1,512}$/

/**
 * Reads the schemas of a request and a response.
 * @param fileDescriptorSet an encoded google.protobuf.FileDescriptorSet, imports first
 * @throws Error for invalid bytes or missing messages
 */
export function readSchemas(fileDescriptorSet: Uint8Array, requestType: string, responseType: string): DynamicSchemas {
  const files = readFiles(fileDescriptorSet)
  const registry = createRegistry(...files)
  const message = (name: string): DescMessage => {
    const found = registry.getMessage(name)
    if (found == null) {
      throw new Error(`there is no message ${name}`)
    }
    return found
  }
  return {
    request: message(requestType),
    response: message(responseType),
    registry,
    hasExtensions: [...registry].some(({ kind }) => kind === 'extension'),
    files: files.filter(({ proto }) => !proto.name.startsWith('google/protobuf/')),
  }
}

/** Decodes the files of a google.protobuf.FileDescriptorSet, and checks their names. @throws Error */
export function readFiles(fileDescriptorSet: Uint8Array): DescFile[] {
  const set = fromBinary(FileDescriptorSetSchema, fileDescriptorSet)
  for (const { messageType } of set.file) {
    messageType.forEach(nameForJson)
  }
  const files = [...createFileRegistry(set).files]
  for (const file of files) {
    check(FILE_NAME, file.proto.name)
    check(FULL_NAME, file.proto.package || 'none')
    file.messages.forEach(checkNames)
    file.enums.forEach(checkNames)
    file.extensions.forEach(checkNames)
  }
  return files
}

/** Sets missing JSON names, which some compilers leave out. */
function nameForJson({ field, nestedType }: DescriptorProto): void {
  for (const one of field) {
    one.jsonName ||= protoCamelCase(one.name)
    if (one.jsonName.length > MAX_JSON_NAME || printable(one.jsonName) !== one.jsonName) {
      throw new Error(`${JSON.stringify(one.jsonName.slice(0, 100))} is not a name in JSON`)
    }
  }
  nestedType.forEach(nameForJson)
}

/** A named descriptor with its members. */
interface Named {
  name: string
  members?: readonly Named[]
  nestedMessages?: readonly Named[]
  nestedEnums?: readonly Named[]
  nestedExtensions?: readonly Named[]
  values?: readonly Named[]
}

function checkNames({ name, members = [], nestedMessages = [], nestedEnums = [], nestedExtensions = [], values = [] }: Named): void {
  check(NAME, name)
  for (const inner of [...members, ...nestedMessages, ...nestedEnums, ...nestedExtensions, ...values]) {
    checkNames(inner)
  }
}

function check(pattern: RegExp, name: string): void {
  if (!pattern.test(name)) {
    throw new Error(`${JSON.stringify(name.slice(0, 100))} is not a name`)
  }
}
