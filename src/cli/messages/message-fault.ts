import { type DescMessage, type DescOneof, fromJson, type JsonValue, type Registry, ScalarType } from '@bufbuild/protobuf'
import { closest } from '../text/closest.ts'
import { type AnyField, fieldOf, isObject, join } from './message-path.ts'
import { scalarOf } from './scalar-json.ts'
import type { TypedJson } from './typed-json.ts'

const MAX_SHOWN = 60
/** The maximum number of fields or values named in an error. */
const MAX_NAMED = 30

/** A fault in a request's JSON. */
export interface Fault {
  problem: string
  hint?: string | undefined
}

/** Finds the first field that keeps a JSON from being a message, by decoding smaller and smaller parts. */
export class FaultFinder {
  readonly #registry: Registry
  readonly #typed: TypedJson

  constructor(registry: Registry, typed: TypedJson) {
    this.#registry = registry
    this.#typed = typed
  }

  /** Undefined if each field is valid on its own. */
  inMessage(message: DescMessage, json: JsonValue, path: string): Fault | undefined {
    if (!isObject(json)) {
      return wrong(path, `an object (${message.typeName})`, shown(json))
    }
    const ofOneofs = new Map<DescOneof, string>()
    for (const [key, value] of Object.entries(json)) {
      const field = fieldOf(message, key, this.#registry)
      const here = join(path, key)
      if (field == null) {
        return unknownField(message, key, here)
      }
      if (this.#fails(message, key, value)) {
        return this.#inField({ message, field, key }, { holder: json, at: key }, here)
      }
      const oneof = field.kind === 'field' ? field.oneof : undefined
      const other = oneof == null ? undefined : ofOneofs.get(oneof)
      if (other != null) {
        return { problem: `${here}: ${join(path, other)} is set too, and a ${message.typeName} can have only one of them` }
      }
      if (oneof != null && value !== null) {
        ofOneofs.set(oneof, key)
      }
    }
    return undefined
  }

  #inField(named: NamedField, place: Place, path: string): Fault | undefined {
    const { message, field, key } = named
    const json = valueAt(place)
    if (field.fieldKind === 'list') {
      const index = Array.isArray(json) ? json.findIndex((item) => this.#fails(message, key, [item])) : -1
      return Array.isArray(json) && index >= 0
        ? this.#inValue(field, { holder: json, at: String(index) }, `${path}[${index}]`)
        : this.#wrong(path, `a list of ${typeOf(field)}`, place)
    }
    if (field.fieldKind === 'map') {
      const found = isObject(json) ? Object.entries(json).find(([name, value]) => this.#fails(message, key, { [name]: value })) : undefined
      if (found == null) {
        return this.#wrong(path, `an object with ${scalarType(field.mapKey)} keys and ${typeOf(field)} values`, place)
      }
      const [name, value] = found
      return this.#fails(message, key, { [String(scalarOf(field.mapKey))]: value })
        ? this.#inValue(field, { holder: json, at: name }, `${path}[${JSON.stringify(name)}]`)
        : wrong(path, `${scalarType(field.mapKey)} as keys`, JSON.stringify(name))
    }
    return this.#inValue(field, place, path)
  }

  #inValue(field: AnyField, place: Place, path: string): Fault | undefined {
    const { message } = field
    const isPlain = message != null && !message.typeName.startsWith('google.protobuf.')
    return (isPlain ? this.inMessage(message, valueAt(place), path) : undefined) ?? this.#wrong(path, typeOf(field), place)
  }

  #wrong(path: string, expected: string, { holder, at }: Place): Fault {
    return wrong(path, expected, this.#typed.sources.get(holder)?.get(at) ?? shown(valueAt({ holder, at })))
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

/** A field, and its key in the JSON. */
interface NamedField {
  message: DescMessage
  field: AnyField
  key: string
}

/** The place of a value, in an object or a list. */
interface Place {
  holder: JsonValue
  at: string
}

function valueAt({ holder, at }: Place): JsonValue {
  return (holder as Record<string, JsonValue>)[at] as JsonValue
}

function wrong(path: string, expected: string, got: string): Fault {
  return {
    problem: `${path === '' ? '' : `${path}: `}expected ${expected}, got ${got.length > MAX_SHOWN ? `${got.slice(0, MAX_SHOWN)}…` : got}`,
  }
}

function shown(json: JsonValue): string {
  if (json !== null && typeof json === 'object' && Object.keys(json).length > 0) {
    return Array.isArray(json) ? 'a list' : 'an object'
  }
  return typeof json === 'number' ? String(json) : JSON.stringify(json)
}

function unknownField({ fields, typeName }: DescMessage, key: string, path: string): Fault {
  const names = fields.map(({ jsonName }) => jsonName)
  const meant = closest(key, names)
  const has = names.length === 0 ? `${typeName} has no fields` : `fields of ${typeName}: ${listed(names)}`
  return { problem: `${path}: ${typeName} has no such field`, hint: meant == null ? has : `did you mean ${meant}? ${has}` }
}

/** Joins names up to a maximum, because a schema from a stranger may have very many. */
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

/** The JSON form of protobuf's well-known messages, in words. */
const WORDS: Record<string, string> = {
  'google.protobuf.Any': 'an object whose "@type" names a message that is described here',
  'google.protobuf.Duration': 'as "1.5s"',
  'google.protobuf.FieldMask': 'as "name,otherName"',
  'google.protobuf.Timestamp': 'as "2026-01-31T12:00:00Z"',
}

/** The type of a field's value, or of each element, in protobuf's words. */
function typeOf(field: AnyField): string {
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
