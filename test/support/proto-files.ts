import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type DescEnum, type DescField, type DescFile, type DescMessage, fromBinary, ScalarType } from '@bufbuild/protobuf'
import { type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'

const BUF = fileURLToPath(new URL('../../node_modules/.bin/buf', import.meta.url))

/** What travels between the nodes of this package, and files with everything in them that messages may have. */
export const PROTO_FOLDERS = [new URL('../../proto/', import.meta.url), new URL('../fixtures/proto/', import.meta.url)].map((url) =>
  fileURLToPath(url),
)

/** The .proto files of a folder, by their names there. */
export function protosIn(folder: string): string[] {
  return globSync('**/*.proto', { cwd: folder }).sort()
}

/** What buf makes of a folder: in a file, and read from it. */
export async function bufBuild(folder: string, output: string): Promise<FileDescriptorSet> {
  await promisify(execFile)(BUF, ['build', folder, '-o', output, '--exclude-source-info'])
  return fromBinary(FileDescriptorSetSchema, await readFile(output))
}

/** Writes files, by their names in a folder. */
export async function writeProtos(folder: string, files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
}

/** All that a file says of its messages and enums, whoever compiled it; options that say nothing of them left out. */
export function meaningOf(file: DescFile): object {
  return {
    package: file.proto.package,
    edition: file.edition,
    imports: file.proto.dependency,
    messages: file.messages.map(messageMeaning),
    enums: file.enums.map(enumMeaning),
  }
}

function messageMeaning(message: DescMessage): object {
  const { reservedName, reservedRange } = message.proto
  return {
    name: message.typeName,
    fields: message.fields.map(fieldMeaning),
    oneofs: message.oneofs.map(({ name, fields }) => [name, fields.map((field) => field.name)]),
    nested: message.nestedMessages.map(messageMeaning).sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
    enums: message.nestedEnums.map(enumMeaning),
    reserved: [reservedName, reservedRange.map(({ start, end }) => [start, end])],
  }
}

function fieldMeaning(field: DescField): object {
  return {
    name: field.name,
    number: field.number,
    jsonName: field.jsonName,
    kind: field.fieldKind,
    key: field.fieldKind === 'map' ? ScalarType[field.mapKey] : undefined,
    type: field.message?.typeName ?? field.enum?.typeName ?? ScalarType[field.scalar as ScalarType],
    presence: field.presence,
    packed: field.fieldKind === 'list' ? field.packed : undefined,
    delimited: 'delimitedEncoding' in field ? field.delimitedEncoding : undefined,
    default: field.fieldKind === 'scalar' || field.fieldKind === 'enum' ? field.getDefaultValue() : undefined,
    oneof: field.oneof?.name,
    deprecated: field.deprecated,
  }
}

function enumMeaning({ typeName, open, values, proto }: DescEnum): object {
  return {
    name: typeName,
    open,
    values: values.map(({ name, number }) => [name, number]),
    alias: proto.options?.allowAlias === true,
    reserved: [proto.reservedName, proto.reservedRange.map(({ start, end }) => [start, end])],
  }
}
