import {
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  fromJsonString,
  type JsonValue,
  ScalarType,
  toBinary,
  toJson,
} from '@bufbuild/protobuf'
import { describeError, UsageError } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/errors.ts'
import { closest } from './closest.ts'
import type { DynamicSchemas } from './message-schemas.ts'

const MAX_SHOWN = 60
/** Of an example; a message may have itself in it, or very many fields. */
const MAX_DEPTH = 6
const MAX_EXAMPLE_FIELDS = 500

/** Encodes protobuf JSON. @throws UsageError that names the field by its path, and what is expected there */
export function encodeRequest(text: string, { request, registry }: DynamicSchemas): Uint8Array {
  let json: JsonValue
  try {
    json = JSON.parse(text) as JsonValue
  } catch (cause) {
    throw new UsageError(`--data is not JSON: ${describeError(cause)}`, { cause, hint: `it is a ${request.typeName} in protobuf JSON` })
  }
  try {
    return toBinary(request, fromJsonString(request, text, { registry }))
  } catch (cause) {
    const fault = new FaultFinder(registry).inMessage(request, json, '') ?? { problem: describeError(cause) }
    throw new UsageError(`--data: ${fault.problem}`, { cause, hint: fault.hint ?? `it is a ${request.typeName} in protobuf JSON` })
  }
}

/** An answer as protobuf JSON. @throws ProtocolError REMOTE_FAILED for bytes that are no such message */
export function decodeResponse(bytes: Uint8Array, { response, registry }: DynamicSchemas, options: { emitDefaults: boolean }): JsonValue {
  try {
    return toJson(response, fromBinary(response, bytes), { registry, alwaysEmitImplicit: options.emitDefaults })
  } catch (cause) {
    throw new ProtocolError('REMOTE_FAILED', `the answer is no ${response.typeName}: ${describeError(cause)}`, { cause })
  }
}

/** The JSON of a message with every field in it, of which one of a oneof, to be filled in. */
export function exampleOf(message: DescMessage): JsonValue {
  let left = MAX_EXAMPLE_FIELDS
  const fieldValue = (field: DescField, depth: number): JsonValue => {
    const one =
      field.message != null
        ? inMessage(field.message, depth + 1)
        : field.enum != null
          ? (field.enum.values[0]?.name ?? 0)
          : scalarOf(field.scalar)
    return field.fieldKind === 'list' ? [one] : field.fieldKind === 'map' ? { [String(scalarOf(field.mapKey))]: one } : one
  }
  const inMessage = (message: DescMessage, depth: number): JsonValue => {
    if (Object.hasOwn(OWN_JSON, message.typeName)) {
      return OWN_JSON[message.typeName] as JsonValue
    }
    const wrapped = message.typeName.startsWith('google.protobuf.') && message.fields.length === 1 ? message.fields[0] : undefined
    if (wrapped?.scalar != null) {
      return scalarOf(wrapped.scalar)
    }
    const shown = depth > MAX_DEPTH ? [] : message.fields.filter((field) => field.oneof == null || field.oneof.fields[0] === field)
    return Object.fromEntries(shown.flatMap((field) => (left-- > 0 ? [[field.jsonName, fieldValue(field, depth)]] : [])))
  }
  return inMessage(message, 0)
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
    if (json === null || typeof json !== 'object' || Array.isArray(json)) {
      return wrong(path, `an object (${message.typeName})`, json)
    }
    for (const [key, value] of Object.entries(json)) {
      const field = message.fields.find(({ jsonName, name }) => jsonName === key || name === key)
      const here = path === '' ? key : `${path}.${key}`
      if (field == null) {
        return unknownField(message, key, here)
      }
      if (this.#fails(message, key, value)) {
        return this.#inField(field, key, value, here)
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
      const entries = json !== null && typeof json === 'object' && !Array.isArray(json) ? Object.entries(json) : []
      const found = entries.find(([name, value]) => this.#fails(field.parent, key, { [name]: value }))
      const keyType = `${ScalarType[field.mapKey].toLowerCase()} keys`
      return found == null
        ? wrong(path, `an object with ${keyType} and ${typeOf(field)} values`, json)
        : this.#inValue(field, found[1], `${path}[${JSON.stringify(found[0])}]`, keyType)
    }
    return this.#inValue(field, json, path)
  }

  #inValue(field: DescField, json: JsonValue, path: string, note?: string): Fault | undefined {
    const { message } = field
    const inside = message == null || message.typeName.startsWith('google.protobuf.') ? undefined : this.inMessage(message, json, path)
    return inside ?? wrong(path, note == null ? typeOf(field) : `${typeOf(field)}, with ${note}`, json)
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

function wrong(path: string, expected: string, got: JsonValue): Fault {
  const text = JSON.stringify(got)
  const shown = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
  return { problem: `${path === '' ? '' : `${path}: `}expected ${expected}, got ${shown}` }
}

function unknownField({ fields, typeName }: DescMessage, key: string, path: string): Fault {
  const names = fields.map(({ jsonName }) => jsonName)
  const meant = closest(key, names)
  const has = names.length === 0 ? 'it has no fields' : `it has ${names.join(', ')}`
  return { problem: `${path}: ${typeName} has no such field`, hint: meant == null ? has : `did you mean ${meant}? ${has}` }
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

/** The type of a field's value, or of each of its values, in protobuf's words. */
function typeOf(field: DescField): string {
  if (field.message != null) {
    return field.message.typeName
  }
  if (field.enum != null) {
    return `${field.enum.typeName} (one of ${field.enum.values.map(({ name }) => name).join(', ')})`
  }
  const scalar = field.scalar as ScalarType
  const name = ScalarType[scalar].toLowerCase()
  return RANGES[scalar] == null ? name : `${name} (${RANGES[scalar]})`
}
