import { type DescEnum, type DescField, type DescFile, type DescMessage, type DescOneof, ScalarType } from '@bufbuild/protobuf'
import { protoCamelCase } from '@bufbuild/protobuf/reflect'
import { Edition, FeatureSet_FieldPresence, FieldDescriptorProto_Label } from '@bufbuild/protobuf/wkt'

const EDITIONS: Partial<Record<Edition, string>> = {
  [Edition.EDITION_2023]: '2023',
  [Edition.EDITION_2024]: '2024',
  [Edition.EDITION_2026]: '2026',
}

/** The names that hide outer names where a type is used, from the outermost scope to the innermost. */
type Scopes = ReadonlyArray<ReadonlySet<string>>

/**
 * Formats a file descriptor as .proto text that compiles to the same messages. Comments are not in a descriptor. Extensions, services and
 * options without effect on messages are left out.
 */
export function protoText(file: DescFile): string {
  const { dependency, publicDependency, package: name } = file.proto
  const passedOn = new Set(publicDependency)
  const edition = EDITIONS[file.edition]
  const scopes = [namesOutside(file)]
  const blocks = [
    edition == null ? `syntax = "${file.edition === Edition.EDITION_PROTO2 ? 'proto2' : 'proto3'}";` : `edition = "${edition}";`,
    name === '' ? '' : `package ${name};`,
    dependency.map((path, index) => `import ${passedOn.has(index) ? 'public ' : ''}${quoted(path)};`).join('\n'),
    ...file.messages.map((message) => messageText(message, '', scopes).join('\n')),
    ...file.enums.map((values) => enumText(values, '').join('\n')),
  ]
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`
}

function messageText(message: DescMessage, indent: string, scopes: Scopes, head = `message ${message.name}`): string[] {
  const inner = `${indent}  `
  const { nestedMessages, nestedEnums, members } = message
  const own = [...scopes, new Set([...nestedMessages, ...nestedEnums].map(({ name }) => name))]
  const groups = new Set(members.flatMap((member) => (member.kind === 'field' ? [member] : member.fields)).flatMap(groupOf))
  const nested = nestedMessages.filter((one) => one.proto.options?.mapEntry !== true && !groups.has(one))
  return [
    `${indent}${head} {`,
    ...reservedText(message, inner),
    ...members.flatMap((member) => (member.kind === 'oneof' ? oneofText(member, inner, own) : fieldText(member, inner, own))),
    ...nested.flatMap((one) => ['', ...messageText(one, inner, own)]),
    ...nestedEnums.flatMap((one) => ['', ...enumText(one, inner)]),
    `${indent}}`,
  ]
}

function oneofText(oneof: DescOneof, indent: string, scopes: Scopes): string[] {
  return [`${indent}oneof ${oneof.name} {`, ...oneof.fields.flatMap((field) => fieldText(field, `${indent}  `, scopes, '')), `${indent}}`]
}

function fieldText(field: DescField, indent: string, scopes: Scopes, label = labelOf(field)): string[] {
  const [group] = groupOf(field)
  if (group != null) {
    return messageText(group, indent, scopes, `${label}group ${group.name} = ${field.number}`)
  }
  const type =
    field.fieldKind === 'map' ? `map<${ScalarType[field.mapKey].toLowerCase()}, ${typeText(field, scopes)}>` : typeText(field, scopes)
  const options = [
    ...(field.jsonName === protoCamelCase(field.name) ? [] : [`json_name = ${quoted(field.jsonName)}`]),
    ...defaultOf(field),
    ...featuresOf(field),
    ...(field.deprecated ? ['deprecated = true'] : []),
  ]
  return [`${indent}${label}${type} ${field.name} = ${field.number}${options.length === 0 ? '' : ` [${options.join(', ')}]`};`]
}

/** The message of a proto2 group field. */
function groupOf(field: DescField): DescMessage[] {
  const { message, parent } = field
  const isGroup = message != null && 'delimitedEncoding' in field && field.delimitedEncoding && !hasFeatures(parent.file)
  return isGroup && message.parent === parent ? [message] : []
}

function labelOf(field: DescField): string {
  if (field.fieldKind === 'map') {
    return ''
  }
  if (field.fieldKind === 'list') {
    return 'repeated '
  }
  if (field.parent.file.edition === Edition.EDITION_PROTO2) {
    return field.proto.label === FieldDescriptorProto_Label.REQUIRED ? 'required ' : 'optional '
  }
  return field.proto.proto3Optional ? 'optional ' : ''
}

function defaultOf({ proto, scalar, parent }: DescField): string[] {
  const value = parent.file.edition === Edition.EDITION_PROTO3 ? '' : proto.defaultValue
  if (scalar === ScalarType.STRING && value !== '') {
    return [`default = ${quoted(value)}`]
  }
  if (scalar === ScalarType.BYTES) {
    // protoc escapes bytes; a stranger's schema may not
    return /^(?:[ !#-[\]-~]|\\[ -~])+$/.test(value) ? [`default = "${value}"`] : []
  }
  return /^[\w.+-]+$/.test(value) ? [`default = ${value}`] : []
}

/** The options by which a field differs from the defaults of its syntax or edition. */
function featuresOf(field: DescField): string[] {
  const { file } = field.parent
  const packed = field.fieldKind === 'list' && isPackable(field) ? field.packed : undefined
  if (!hasFeatures(file)) {
    return packed == null || packed === (file.edition !== Edition.EDITION_PROTO2) ? [] : [`packed = ${packed}`]
  }
  const delimited = 'delimitedEncoding' in field && field.delimitedEncoding
  const alone = field.fieldKind !== 'list' && field.fieldKind !== 'map' && field.oneof == null
  return [
    ...(alone && field.presence === FeatureSet_FieldPresence.IMPLICIT ? ['features.field_presence = IMPLICIT'] : []),
    ...(alone && field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED ? ['features.field_presence = LEGACY_REQUIRED'] : []),
    ...(packed === false ? ['features.repeated_field_encoding = EXPANDED'] : []),
    ...(delimited ? ['features.message_encoding = DELIMITED'] : []),
  ]
}

function isPackable({ message, scalar }: DescField): boolean {
  return message == null && scalar !== ScalarType.STRING && scalar !== ScalarType.BYTES
}

function hasFeatures({ edition }: DescFile): boolean {
  return EDITIONS[edition] != null
}

/** The type name to write in this scope: short, or fully qualified with a leading dot if an inner name hides it. */
function typeText(field: DescField, scopes: Scopes): string {
  const named = field.message ?? field.enum
  if (named == null) {
    return ScalarType[field.scalar as ScalarType].toLowerCase()
  }
  const prefix = `${field.parent.file.proto.package}.`
  const own = named.file === field.parent.file && named.typeName.startsWith(prefix)
  const name = own ? named.typeName.slice(prefix.length) : named.typeName
  const first = name.split('.', 1)[0] as string
  // top-level names of a package need no dot
  const [outside, ...inside] = scopes
  const hidden = inside.some((names) => names.has(first)) || (!own && outside?.has(first) === true)
  return hidden ? `.${named.typeName}` : name
}

/** First names that would hide a full name in this file: its own types, and subpackages of its package and of the enclosing packages. */
function namesOutside({ proto, messages, enums, dependencies }: DescFile): Set<string> {
  const names = new Set(proto.package === '' ? [] : [...messages, ...enums].map(({ name }) => name))
  for (const name of [proto.package, ...dependencies.map((file) => file.proto.package)]) {
    const parts = name.split('.')
    for (let length = 1; length < parts.length && `${proto.package}.`.startsWith(`${parts.slice(0, length).join('.')}.`); length++) {
      names.add(parts[length] as string)
    }
  }
  return names
}

function enumText(values: DescEnum, indent: string): string[] {
  const inner = `${indent}  `
  return [
    `${indent}enum ${values.name} {`,
    ...(values.proto.options?.allowAlias === true ? [`${inner}option allow_alias = true;`] : []),
    ...(hasFeatures(values.file) && !values.open ? [`${inner}option features.enum_type = CLOSED;`] : []),
    ...reservedText(values, inner),
    ...values.values.map(({ name, number }) => `${inner}${name} = ${number};`),
    `${indent}}`,
  ]
}

function reservedText({ kind, proto, file }: DescMessage | DescEnum, indent: string): string[] {
  const { reservedName, reservedRange } = proto
  // the end of a message's reserved range is exclusive
  const ranges = reservedRange.map(({ start, end }) => rangeText(start, kind === 'message' ? end - 1 : end))
  const names = hasFeatures(file) ? reservedName.filter((name) => /^\w+$/.test(name)) : reservedName.map(quoted)
  return [ranges, names].filter(({ length }) => length > 0).map((reserved) => `${indent}reserved ${reserved.join(', ')};`)
}

function rangeText(first: number, last: number): string {
  return first === last ? String(first) : `${first} to ${last}`
}

/** Quotes a text that may come from a stranger. */
function quoted(text: string): string {
  const escaped = (one: string): string =>
    one
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join('')
  return JSON.stringify(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped)
}
