import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { create, fromJson, type JsonValue, type MessageInitShape } from '@bufbuild/protobuf'
import * as wkt from '@bufbuild/protobuf/wkt'
import protobufjs, { type Enum, type Field, type IParserResult, type NamespaceBase, type ReflectionObject, type Type } from 'protobufjs'
import { fullPath } from '../../primitives/full-path.ts'
import { readInputFile } from '../../primitives/input-file.ts'
import { toText } from '../../primitives/strict-text.ts'

const { FieldDescriptorProto_Label: Label, FieldDescriptorProto_Type: FieldType } = wkt

const EDITIONS: Record<string, wkt.Edition> = { 2023: wkt.Edition.EDITION_2023, 2024: wkt.Edition.EDITION_2024 }

/** The maximum size of a .proto file. */
export const MAX_PROTO_BYTES = 64 << 20

/** Protobuf's own files, which can be imported without a copy on disk. */
const OWN_FILES = new Map(Object.values(wkt).flatMap((one) => ('kind' in one && one.kind === 'file' ? [[one.proto.name, one]] : [])))

/** A parsed file. */
interface Source {
  path: string
  /** The name by which the first importing file refers to it. */
  name: string
  parsed: IParserResult
}

/** The files read so far, imports first. */
interface Loaded {
  own: Set<wkt.FileDescriptorProto>
  names: Set<string>
  sources: Map<string, { source: Source; imports: string[] }>
}

type FieldInit = Exclude<MessageInitShape<typeof wkt.FieldDescriptorProtoSchema>, wkt.FieldDescriptorProto>

/** The type for each full name; names start with a dot. */
type Types = Map<string, wkt.FieldDescriptorProto_Type>

/**
 * Compiles a .proto file and its imports, imports first. An import is searched in the folder of the importing file, then in each folder
 * above, because the compiler's include path is unknown. Only options that affect messages are kept.
 * @param timeoutMs the maximum time to read the file, which may be a pipe.
 * @default no limit
 * @throws Error
 */
export async function compileProto(file: string, timeoutMs?: number): Promise<wkt.FileDescriptorSet> {
  const path = fullPath(file)
  const loaded: Loaded = { own: new Set(), names: new Set(), sources: new Map() }
  const bytes = await readInputFile(path, { timeoutMs, maxBytes: MAX_PROTO_BYTES })
  await load(parse(path, basename(path), toText(bytes, `--proto ${file}`)), loaded, [])
  const types: Types = new Map()
  for (const { package: scope, messageType, enumType } of loaded.own) {
    enterOwn(`.${scope}`, { nestedType: messageType, enumType }, types)
  }
  for (const { source } of loaded.sources.values()) {
    enter(source.parsed.root, types)
  }
  const files = [...loaded.sources.values()].map(({ source, imports }) => fileOf(source, imports, types))
  return create(wkt.FileDescriptorSetSchema, { file: [...loaded.own, ...files] })
}

function parse(path: string, name: string, text: string): Source {
  // for error messages; the typings of protobufjs lack this property
  Object.assign(protobufjs.parse, { filename: path })
  return { path, name, parsed: protobufjs.parse(text, new protobufjs.Root(), { keepCase: true }) }
}

async function load(source: Source, loaded: Loaded, above: string[]): Promise<void> {
  const imports: string[] = []
  loaded.names.add(source.name)
  for (const wanted of [...(source.parsed.imports ?? []), ...(source.parsed.weakImports ?? [])]) {
    const own = OWN_FILES.get(wanted)
    if (own != null) {
      loadOwn(own, loaded.own)
      imports.push(wanted)
      continue
    }
    const found = await findImport(wanted, source)
    if (above.includes(found.path)) {
      throw new Error(`${JSON.stringify(wanted)} is imported by a file that it imports`)
    }
    if (!loaded.sources.has(found.path)) {
      const name = loaded.names.has(wanted) ? `${loaded.names.size}/${wanted}` : wanted
      await load(parse(found.path, name, found.text), loaded, [...above, source.path])
    }
    imports.push(loaded.sources.get(found.path)?.source.name ?? wanted)
  }
  loaded.sources.set(source.path, { source, imports: [...new Set(imports)] })
}

function loadOwn(file: (typeof wkt)['file_google_protobuf_any'], own: Loaded['own']): void {
  for (const imported of file.dependencies) {
    loadOwn(imported, own)
  }
  own.add(file.proto)
}

async function findImport(wanted: string, from: Source): Promise<{ path: string; text: string }> {
  for (let folder = dirname(from.path); ; folder = dirname(folder)) {
    const path = join(folder, wanted)
    const bytes = path === from.path ? undefined : await readRegular(path).catch(() => undefined)
    if (bytes != null) {
      return { path, text: toText(bytes, `the import ${JSON.stringify(wanted)}`) }
    }
    if (folder === dirname(folder)) {
      throw new Error(`${from.name} imports ${JSON.stringify(wanted)}, which is neither beside it nor in a folder above`)
    }
  }
}

async function readRegular(path: string): Promise<Buffer | undefined> {
  return (await stat(path)).isFile() ? readFile(path) : undefined
}

function enterOwn(scope: string, { nestedType, enumType }: Pick<wkt.DescriptorProto, 'nestedType' | 'enumType'>, types: Types): void {
  for (const one of enumType) {
    types.set(`${scope}.${one.name}`, FieldType.ENUM)
  }
  for (const one of nestedType) {
    types.set(`${scope}.${one.name}`, FieldType.MESSAGE)
    enterOwn(`${scope}.${one.name}`, one, types)
  }
}

function enter(namespace: NamespaceBase, types: Types): void {
  for (const one of namespace.nestedArray) {
    if (one instanceof protobufjs.Type) {
      types.set(one.fullName, (one as { group?: boolean }).group === true ? FieldType.GROUP : FieldType.MESSAGE)
    }
    if (one instanceof protobufjs.Enum) {
      types.set(one.fullName, FieldType.ENUM)
    }
    if (one instanceof protobufjs.Namespace) {
      enter(one, types)
    }
  }
}

/** Resolves a type name to the innermost match. The full name starts with a dot. @throws Error */
function resolveName(name: string, scope: string, types: Types): string {
  if (name.startsWith('.') && types.has(name)) {
    return name
  }
  for (let around = scope; !name.startsWith('.'); around = around.slice(0, around.lastIndexOf('.'))) {
    if (types.has(`${around}.${name}`)) {
      return `${around}.${name}`
    }
    if (around === '') {
      break
    }
  }
  throw new Error(`${scope.slice(1)} names the type ${name}, which does not exist`)
}

function fileOf({ name, parsed }: Source, dependency: string[], types: Types): wkt.FileDescriptorProto {
  const { package: scope = '', root } = parsed
  const inside = scope === '' ? root : root.lookup(scope, protobufjs.Namespace)
  const all = inside instanceof protobufjs.Namespace ? inside.nestedArray : []
  // protobufjs makes a oneof for an "optional" extension
  const objects = all.filter((one) => !(one instanceof protobufjs.OneOf))
  const version = objects.map((one) => (one as { _edition?: string })._edition).find((one) => one != null) ?? 'proto2'
  const edition = EDITIONS[version]
  return create(wkt.FileDescriptorProtoSchema, {
    name,
    package: scope,
    dependency,
    ...(edition == null ? { syntax: version } : { syntax: 'editions', edition }),
    messageType: objects.filter((one) => one instanceof protobufjs.Type).map((one) => messageOf(one, types)),
    enumType: objects.filter((one) => one instanceof protobufjs.Enum).map(enumOf),
    extension: extensionsOf(objects, types),
    service: objects
      .filter((one) => one instanceof protobufjs.Service)
      .map((service) => ({
        name: service.name,
        method: service.methodsArray.map(({ name, requestType, responseType, requestStream, responseStream }) => ({
          name,
          inputType: resolveName(requestType, service.fullName, types),
          outputType: resolveName(responseType, service.fullName, types),
          ...(requestStream === true ? { clientStreaming: true } : {}),
          ...(responseStream === true ? { serverStreaming: true } : {}),
        })),
      })),
  })
}

function messageOf(message: Type, types: Types): MessageInitShape<typeof wkt.DescriptorProtoSchema> {
  const objects = message.nestedArray
  // synthetic oneofs of "optional" fields come last
  const oneofs = message.oneofsArray.map(({ name, fieldsArray }) => ({ name, only: fieldsArray.some(isProto3Optional) }))
  const oneofNames = [...oneofs.filter(({ only }) => !only), ...oneofs.filter(({ only }) => only)].map(({ name }) => name)
  const fields = message.fieldsArray.filter(({ declaringField }) => declaringField == null)
  const maps = fields.filter((field) => field instanceof protobufjs.MapField)
  const ranges = (message.reserved ?? []).filter((one) => typeof one !== 'string') as number[][]
  return {
    name: message.name,
    field: fields.map((field) => fieldOf(field, oneofNames, message.fullName, types)),
    oneofDecl: oneofNames.map((name) => ({ name })),
    nestedType: [
      ...maps.map((field) => ({
        name: entryName(field.name),
        options: { mapEntry: true },
        field: [
          { name: 'key', number: 1, label: Label.OPTIONAL, type: scalarType(field.keyType) as wkt.FieldDescriptorProto_Type },
          { name: 'value', number: 2, label: Label.OPTIONAL, ...typeOf(field.type, message.fullName, types) },
        ],
      })),
      ...objects.filter((one) => one instanceof protobufjs.Type).map((one) => messageOf(one, types)),
    ],
    enumType: objects.filter((one) => one instanceof protobufjs.Enum).map(enumOf),
    extension: extensionsOf(objects, types),
    extensionRange: ((message.extensions ?? []) as number[][]).map(([start = 0, end = start]) => ({ start, end: end + 1 })),
    reservedRange: ranges.map(([start = 0, end = start]) => ({ start, end: end + 1 })),
    reservedName: (message.reserved ?? []).filter((one) => typeof one === 'string') as unknown as string[],
    ...optionsOf(message),
  }
}

function extensionsOf(objects: ReflectionObject[], types: Types): FieldInit[] {
  const fields = objects.filter((one) => one instanceof protobufjs.Field)
  return fields.map((field) => {
    const scope = field.parent?.fullName ?? ''
    return { ...fieldOf(field, [], scope, types), extendee: resolveName(String(field.extend), scope, types) }
  })
}

function fieldOf(field: Field, oneofs: string[], scope: string, types: Types): FieldInit {
  const map = field instanceof protobufjs.MapField
  const label = map || field.repeated ? Label.REPEATED : field.rule === 'required' ? Label.REQUIRED : Label.OPTIONAL
  return {
    name: field.name,
    number: field.id,
    label,
    ...(map ? { type: FieldType.MESSAGE, typeName: `${scope}.${entryName(field.name)}` } : typeOf(field.type, scope, types)),
    jsonName: field.jsonName ?? '',
    ...(field.partOf == null || field.extend != null ? {} : { oneofIndex: oneofs.indexOf(field.partOf.name) }),
    ...(isProto3Optional(field) ? { proto3Optional: true } : {}),
    ...valueOptionsOf(field),
  }
}

/** Default values of `bytes` fields are left out, because descriptors escape them differently. */
function valueOptionsOf(field: Field): Pick<FieldInit, 'defaultValue' | 'options'> {
  const { default: value, packed } = field.options ?? {}
  const options = { ...optionsOf(field).options, ...(packed == null ? {} : { packed: packed as boolean }) }
  return {
    ...(value == null || field.type === 'bytes' ? {} : { defaultValue: String(value).replace('Infinity', 'inf').replace('NaN', 'nan') }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  }
}

function isProto3Optional({ options }: Field): boolean {
  return options?.['proto3_optional'] === true
}

function typeOf(name: string, scope: string, types: Types): { type: wkt.FieldDescriptorProto_Type; typeName?: string } {
  const scalar = scalarType(name)
  if (scalar != null) {
    return { type: scalar }
  }
  const typeName = resolveName(name, scope, types)
  return { type: types.get(typeName) as wkt.FieldDescriptorProto_Type, typeName }
}

function scalarType(name: string): wkt.FieldDescriptorProto_Type | undefined {
  return Object.hasOwn(protobufjs.types.basic, name) ? FieldType[name.toUpperCase() as keyof typeof FieldType] : undefined
}

function enumOf(one: Enum): MessageInitShape<typeof wkt.EnumDescriptorProtoSchema> {
  const { options } = optionsOf(one)
  const allowAlias = one.options?.['allow_alias'] === true
  const ranges = (one.reserved ?? []).filter((range) => typeof range !== 'string') as number[][]
  return {
    name: one.name,
    value: Object.entries(one.values).map(([name, number]) => ({ name, number })),
    reservedRange: ranges.map(([start = 0, end = start]) => ({ start, end })),
    reservedName: (one.reserved ?? []).filter((name) => typeof name === 'string') as unknown as string[],
    ...(options == null && !allowAlias ? {} : { options: { ...options, ...(allowAlias ? { allowAlias } : {}) } }),
  }
}

/** The options common to messages, fields and enums. */
function optionsOf({ options }: ReflectionObject): {
  options?: { deprecated?: boolean; features?: wkt.FeatureSet }
} {
  const features = options?.['features'] as JsonValue | undefined
  const kept = {
    ...(options?.['deprecated'] === true ? { deprecated: true } : {}),
    ...(features == null ? {} : { features: fromJson(wkt.FeatureSetSchema, features, { ignoreUnknownFields: true }) }),
  }
  return Object.keys(kept).length === 0 ? {} : { options: kept }
}

/** The entry message's name of a map field, as protoc derives it. */
function entryName(field: string): string {
  const words = field.split('_').map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`)
  return `${words.join('')}Entry`
}
