import {
  type DescField,
  type DescMessage,
  type DescOneof,
  fromBinary,
  fromJson,
  fromJsonString,
  type JsonObject,
  type JsonValue,
  ScalarType,
  toBinary,
  toJson,
} from '@bufbuild/protobuf'
import { isWrapperDesc } from '@bufbuild/protobuf/wkt'
import { describeError, UsageError } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/errors.ts'
import { closest } from './closest.ts'
import type { DynamicSchemas } from './message-schemas.ts'

const MAX_SHOWN = 60
/** Of fields or values, in an error. */
const MAX_NAMED = 30
/** Of an example: messages within messages, and fields in all. */
const MAX_DEPTH = 6
const MAX_EXAMPLE_FIELDS = 500

/** Encodes protobuf JSON. @throws UsageError that names the field by its path, and what is expected there */
export function encodeRequest(text: string, { request, registry }: DynamicSchemas): Uint8Array {
  const hint = `it is a ${request.typeName} in protobuf JSON`
  const rounded: Rounded = new Map()
  let json: JsonValue
  try {
    json = parseJson(text, rounded)
  } catch (cause) {
    throw new UsageError(`--data is not JSON: ${describeError(cause)}`, { cause, hint })
  }
  const finder = new FaultFinder(registry)
  let bytes: Uint8Array
  try {
    bytes = toBinary(request, fromJsonString(request, text, { registry }))
  } catch (cause) {
    const problem = describeError(cause)
    // there every field would fail alone, and looking for the first would fail too
    const tooDeep = cause instanceof RangeError || problem.includes('maximum recursion depth')
    const fault = tooDeep ? { problem: 'it is nested too deeply' } : (finder.inMessage(request, json, '') ?? { problem })
    throw new UsageError(`--data: ${fault.problem}`, { cause, hint: fault.hint ?? hint })
  }
  const fault = rounded.size === 0 ? undefined : finder.roundedIn(request, json, '', rounded)
  if (fault != null) {
    throw new UsageError(`--data: ${fault.problem}`, { hint: fault.hint })
  }
  return bytes
}

/** Whole numbers as they stand in a JSON, where they are not what JSON.parse makes of them: by the object, or list, that has them. */
type Rounded = Map<unknown, Map<string, string>>

function parseJson(text: string, rounded: Rounded): JsonValue {
  if (!/\d{16}/.test(text)) {
    return JSON.parse(text) as JsonValue
  }
  const notice = function (this: unknown, key: string, value: unknown, { source }: { source?: string } = {}): unknown {
    if (typeof value === 'number' && source != null && /^-?\d+$/.test(source) && BigInt(value) !== BigInt(source)) {
      rounded.set(this, (rounded.get(this) ?? new Map()).set(key, source))
    }
    return value
  }
  return JSON.parse(text, notice) as JsonValue
}

/** An answer as protobuf JSON. @throws ProtocolError REMOTE_FAILED for bytes that are no such message */
export function decodeResponse(bytes: Uint8Array, { response, registry }: DynamicSchemas, options: { emitDefaults: boolean }): JsonValue {
  try {
    // fields that nobody described are not shown: to keep many of them would cost much more memory than their bytes
    return toJson(response, fromBinary(response, bytes, { readUnknownFields: false }), {
      registry,
      alwaysEmitImplicit: options.emitDefaults,
    })
  } catch (cause) {
    throw new ProtocolError('REMOTE_FAILED', `the answer is no ${response.typeName}: ${describeError(cause)}`, { cause })
  }
}

/** The JSON of a message with every field in it, of which one of a oneof, to be filled in; a message in itself is left empty. */
export function exampleOf(message: DescMessage): JsonValue {
  let left = MAX_EXAMPLE_FIELDS
  const fieldValue = (field: DescField, above: DescMessage[]): JsonValue => {
    const one =
      field.message != null
        ? inMessage(field.message, above)
        : field.enum != null
          ? (field.enum.values[0]?.name ?? 0)
          : scalarOf(field.scalar)
    return field.fieldKind === 'list' ? [one] : field.fieldKind === 'map' ? { [String(scalarOf(field.mapKey))]: one } : one
  }
  const inMessage = (message: DescMessage, above: DescMessage[]): JsonValue => {
    if (Object.hasOwn(OWN_JSON, message.typeName)) {
      return OWN_JSON[message.typeName] as JsonValue
    }
    if (isWrapperDesc(message)) {
      return scalarOf(message.fields[0]?.scalar)
    }
    if (above.includes(message) || above.length > MAX_DEPTH) {
      return {}
    }
    const shown = message.fields.filter((field) => field.oneof == null || field.oneof.fields[0] === field)
    return Object.fromEntries(shown.flatMap((field) => (left-- > 0 ? [[field.jsonName, fieldValue(field, [...above, message])]] : [])))
  }
  return inMessage(message, [])
}

/** Messages of protobuf's own whose JSON is not an object of their fields. */
const OWN_JSON: Record<string, JsonValue> = {
  'google.protobuf.Any': {},
  'google.protobuf.Duration': '0s',
  'google.protobuf.FieldMask': '',
  'google.protobuf.ListValue': [],
  'google.protobuf.Struct': {},
  'google.protobuf.Timestamp': '1970-01-01T00:00:00Z',
  'google.protobuf.Value': null,
}

function scalarOf(scalar: ScalarType | undefined): string | number | boolean {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return ''
    case ScalarType.BOOL:
      return false
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return '0'
    default:
      return 0
  }
}

interface Fault {
  problem: string
  hint?: string | undefined
}

/** Finds the first field of a JSON that keeps it from being a message: by decoding ever smaller parts of it. */
class FaultFinder {
  readonly #registry: DynamicSchemas['registry']

  constructor(registry: DynamicSchemas['registry']) {
    this.#registry = registry
  }

  /** Undefined where each field alone would do. */
  inMessage(message: DescMessage, json: JsonValue, path: string): Fault | undefined {
    if (!isObject(json)) {
      return wrong(path, `an object (${message.typeName})`, json)
    }
    const ofOneofs = new Map<DescOneof, string>()
    for (const [key, value] of Object.entries(json)) {
      const field = fieldOf(message, key)
      const here = join(path, key)
      if (field == null) {
        return unknownField(message, key, here)
      }
      if (this.#fails(message, key, value)) {
        return this.#inField(field, key, value, here)
      }
      const other = field.oneof == null ? undefined : ofOneofs.get(field.oneof)
      if (other != null) {
        return { problem: `${here}: ${join(path, other)} is there too, and a ${message.typeName} has only one of them` }
      }
      if (field.oneof != null && value !== null) {
        ofOneofs.set(field.oneof, key)
      }
    }
    return undefined
  }

  /** The first number of 64 bits that would not be sent as it stands there. The JSON is one of the message. */
  roundedIn(message: DescMessage, json: JsonValue, path: string, rounded: Rounded): Fault | undefined {
    const inValue = (field: DescField, holder: JsonValue, key: string, here: string): Fault | undefined => {
      const source = rounded.get(holder)?.get(key)
      const { message: inner } = field
      const scalar = inner == null || !isWrapperDesc(inner) ? field.scalar : inner.fields[0]?.scalar
      if (source != null && scalar != null && scalarOf(scalar) === '0') {
        return {
          problem: `${here}: ${source} is over 2^53, and a number that large is rounded in JSON`,
          hint: `in quotes it is sent as it is: "${source}"`,
        }
      }
      return inner == null ? undefined : this.roundedIn(inner, (holder as Record<string, JsonValue>)[key] as JsonValue, here, rounded)
    }
    for (const [key, value] of isObject(json) ? Object.entries(json) : []) {
      const field = fieldOf(message, key)
      const here = join(path, key)
      const inside = field?.fieldKind === 'list' || field?.fieldKind === 'map'
      const keys = inside && value !== null && typeof value === 'object' ? Object.keys(value) : []
      const fault =
        field == null
          ? undefined
          : inside
            ? firstOf(keys, (one) => inValue(field, value, one, `${here}[${field.fieldKind === 'list' ? one : JSON.stringify(one)}]`))
            : inValue(field, json, key, here)
      if (fault != null) {
        return fault
      }
    }
    return undefined
  }

  #inField(field: DescField, key: string, json: JsonValue, path: string): Fault | undefined {
    if (field.fieldKind === 'list') {
      const index = Array.isArray(json) ? json.findIndex((item) => this.#fails(field.parent, key, [item])) : -1
      return Array.isArray(json) && index >= 0
        ? this.#inValue(field, json[index] as JsonValue, `${path}[${index}]`)
        : wrong(path, `a list of ${typeOf(field)}`, json)
    }
    if (field.fieldKind === 'map') {
      const found = isObject(json)
        ? Object.entries(json).find(([name, value]) => this.#fails(field.parent, key, { [name]: value }))
        : undefined
      if (found == null) {
        return wrong(path, `an object with ${scalarType(field.mapKey)} keys and ${typeOf(field)} values`, json)
      }
      const [name, value] = found
      return this.#fails(field.parent, key, { [String(scalarOf(field.mapKey))]: value })
        ? this.#inValue(field, value, `${path}[${JSON.stringify(name)}]`)
        : wrong(path, `${scalarType(field.mapKey)} as keys`, name)
    }
    return this.#inValue(field, json, path)
  }

  #inValue(field: DescField, json: JsonValue, path: string): Fault | undefined {
    const { message } = field
    const inside = message == null || message.typeName.startsWith('google.protobuf.') ? undefined : this.inMessage(message, json, path)
    return inside ?? wrong(path, typeOf(field), json)
  }

  #fails(message: DescMessage, key: string, value: JsonValue): boolean {
    try {
      fromJson(message, { [key]: value }, { registry: this.#registry })
      return false
    } catch {
      return true
    }
  }
}

function isObject(json: JsonValue): json is JsonObject {
  return json !== null && typeof json === 'object' && !Array.isArray(json)
}

function fieldOf({ fields }: DescMessage, key: string): DescField | undefined {
  return fields.find(({ jsonName, name }) => jsonName === key || name === key)
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

function firstOf<T, R>(items: Iterable<T>, find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item)
    if (found != null) {
      return found
    }
  }
  return undefined
}

function wrong(path: string, expected: string, got: JsonValue): Fault {
  return { problem: `${path === '' ? '' : `${path}: `}expected ${expected}, got ${shown(got)}` }
}

function shown(json: JsonValue): string {
  if (json !== null && typeof json === 'object' && Object.keys(json).length > 0) {
    return Array.isArray(json) ? 'a list' : 'an object'
  }
  const text = typeof json === 'number' ? String(json) : JSON.stringify(json)
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

function unknownField({ fields, typeName }: DescMessage, key: string, path: string): Fault {
  const names = fields.map(({ jsonName }) => jsonName)
  const meant = closest(key, names)
  const has = names.length === 0 ? 'it has no fields' : `it has ${listed(names)}`
  return { problem: `${path}: ${typeName} has no such field`, hint: meant == null ? has : `did you mean ${meant}? ${has}` }
}

/** Those who were described by a stranger may be very many. */
function listed(names: string[]): string {
  const more = names.length - MAX_NAMED
  return `${names.slice(0, MAX_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

const RANGES: Partial<Record<ScalarType, string>> = {
  [ScalarType.INT32]: 'a whole number from -2147483648 to 2147483647',
  [ScalarType.SINT32]: 'a whole number from -2147483648 to 2147483647',
  [ScalarType.SFIXED32]: 'a whole number from -2147483648 to 2147483647',
  [ScalarType.UINT32]: 'a whole number from 0 to 4294967295',
  [ScalarType.FIXED32]: 'a whole number from 0 to 4294967295',
  [ScalarType.INT64]: 'a whole number of 64 bits, over 2^53 as text',
  [ScalarType.SINT64]: 'a whole number of 64 bits, over 2^53 as text',
  [ScalarType.SFIXED64]: 'a whole number of 64 bits, over 2^53 as text',
  [ScalarType.UINT64]: 'a whole number of 64 bits without a sign, over 2^53 as text',
  [ScalarType.FIXED64]: 'a whole number of 64 bits without a sign, over 2^53 as text',
  [ScalarType.BYTES]: 'base64',
}

/** Of protobuf's own messages, what their JSON is like. */
const WORDS: Record<string, string> = {
  'google.protobuf.Any': 'an object whose "@type" names a message that is described here',
  'google.protobuf.Duration': 'as "1.5s"',
  'google.protobuf.FieldMask': 'as "name,otherName"',
  'google.protobuf.Timestamp': 'as "2026-01-31T12:00:00Z"',
}

/** The type of a field's value, or of each of its values, in protobuf's words. */
function typeOf(field: DescField): string {
  if (field.message != null) {
    const { typeName } = field.message
    return Object.hasOwn(WORDS, typeName) ? `${typeName} (${WORDS[typeName]})` : typeName
  }
  if (field.enum != null) {
    return `${field.enum.typeName} (one of ${listed(field.enum.values.map(({ name }) => name))})`
  }
  return scalarType(field.scalar as ScalarType)
}

function scalarType(scalar: ScalarType): string {
  const name = ScalarType[scalar].toLowerCase()
  return RANGES[scalar] == null ? name : `${name} (${RANGES[scalar]})`
}
