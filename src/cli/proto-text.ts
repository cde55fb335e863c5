import { type DescEnum, type DescField, type DescFile, type DescMessage, type DescOneof, ScalarType } from '@bufbuild/protobuf'
import { protoCamelCase } from '@bufbuild/protobuf/reflect'
import { Edition, FieldDescriptorProto_Label } from '@bufbuild/protobuf/wkt'

/** A described file as .proto text. What a descriptor does not hold (comments) or few use (options, extensions, services) is left out. */
export function protoText(file: DescFile): string {
  const { dependency, package: name } = file.proto
  const blocks = [
    `syntax = "${file.edition === Edition.EDITION_PROTO2 ? 'proto2' : 'proto3'}";`,
    name === '' ? '' : `package ${name};`,
    dependency.map((path) => `import ${JSON.stringify(path)};`).join('\n'),
    ...file.messages.map((message) => messageText(message, '').join('\n')),
    ...file.enums.map((values) => enumText(values, '').join('\n')),
  ]
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`
}

function messageText(message: DescMessage, indent: string): string[] {
  const inner = `${indent}  `
  const { reservedName, reservedRange } = message.proto
  const nested = message.nestedMessages.filter(({ proto }) => proto.options?.mapEntry !== true)
  return [
    `${indent}message ${message.name} {`,
    ...(reservedRange.length > 0
      ? [`${inner}reserved ${reservedRange.map(({ start, end }) => rangeText(start, end - 1)).join(', ')};`]
      : []),
    ...(reservedName.length > 0 ? [`${inner}reserved ${reservedName.map((name) => JSON.stringify(name)).join(', ')};`] : []),
    ...message.members.flatMap((member) => (member.kind === 'oneof' ? oneofText(member, inner) : [fieldText(member, inner)])),
    ...nested.flatMap((one) => ['', ...messageText(one, inner)]),
    ...message.nestedEnums.flatMap((one) => ['', ...enumText(one, inner)]),
    `${indent}}`,
  ]
}

function oneofText(oneof: DescOneof, indent: string): string[] {
  return [`${indent}oneof ${oneof.name} {`, ...oneof.fields.map((field) => fieldText(field, `${indent}  `, '')), `${indent}}`]
}

function fieldText(field: DescField, indent: string, label = labelOf(field)): string {
  const type = field.fieldKind === 'map' ? `map<${ScalarType[field.mapKey].toLowerCase()}, ${typeText(field)}>` : typeText(field)
  const options = [
    ...(field.jsonName === protoCamelCase(field.name) ? [] : [`json_name = ${JSON.stringify(field.jsonName)}`]),
    ...(field.deprecated ? ['deprecated = true'] : []),
  ]
  return `${indent}${label}${type} ${field.name} = ${field.number}${options.length === 0 ? '' : ` [${options.join(', ')}]`};`
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

function typeText(field: DescField): string {
  const named = field.message ?? field.enum
  if (named == null) {
    return ScalarType[field.scalar as ScalarType].toLowerCase()
  }
  const prefix = `${field.parent.file.proto.package}.`
  return named.file === field.parent.file && named.typeName.startsWith(prefix) ? named.typeName.slice(prefix.length) : named.typeName
}

function enumText(values: DescEnum, indent: string): string[] {
  const { options, reservedName, reservedRange } = values.proto
  return [
    `${indent}enum ${values.name} {`,
    ...(options?.allowAlias === true ? [`${indent}  option allow_alias = true;`] : []),
    ...(reservedRange.length > 0
      ? [`${indent}  reserved ${reservedRange.map(({ start, end }) => rangeText(start, end)).join(', ')};`]
      : []),
    ...(reservedName.length > 0 ? [`${indent}  reserved ${reservedName.map((name) => JSON.stringify(name)).join(', ')};`] : []),
    ...values.values.map(({ name, number }) => `${indent}  ${name} = ${number};`),
    `${indent}}`,
  ]
}

function rangeText(first: number, last: number): string {
  return first === last ? String(first) : `${first} to ${last}`
}
