import { create, createFileRegistry, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf'
import { protoCamelCase } from '@bufbuild/protobuf/reflect'
import {
  type DescriptorProtoSchema,
  type FieldDescriptorProtoSchema,
  type FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_timestamp,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt'

type FileInit = MessageInitShape<typeof FileDescriptorProtoSchema>
type FieldInit = MessageInitShape<typeof FieldDescriptorProtoSchema>
type MessageInit = MessageInitShape<typeof DescriptorProtoSchema>

/** A field of a described message: of a scalar type, or of a message whose full name begins with a dot. */
export function field(name: string, number: number, type: Type | string, init: Partial<FieldInit> = {}): FieldInit {
  const named = typeof type === 'string' ? { type: Type.MESSAGE, typeName: type } : { type }
  return { name, number, label: Label.OPTIONAL, jsonName: protoCamelCase(name), ...named, ...init } as FieldInit
}

export function message(name: string, fields: FieldInit[] = [], init: Partial<MessageInit> = {}): MessageInit {
  return { name, field: fields, ...init } as MessageInit
}

/** A proto3 file of the package `test`; it may import google/protobuf/timestamp.proto. */
export function file(name: string, messages: MessageInit[], init: Partial<FileInit> = {}): FileInit {
  return { name, package: 'test', syntax: 'proto3', messageType: messages, ...init } as FileInit
}

/** The messages of these names, in files that stand in this order. */
export function describe(files: FileInit[], ...names: string[]): DescMessage[] {
  const set = create(FileDescriptorSetSchema, { file: [file_google_protobuf_timestamp.proto, ...files] })
  const registry = createFileRegistry(set)
  return names.map((name) => registry.getMessage(name) as DescMessage)
}

export { Label, Type }
