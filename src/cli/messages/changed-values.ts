import type { DescMessage, JsonValue, Registry } from '@bufbuild/protobuf'
import { isWrapperDesc } from '@bufbuild/protobuf/wkt'
import type { Fault } from './message-fault.ts'
import { type AnyField, fieldOf, isObject, join } from './message-path.ts'
import { scalarOf } from './scalar-json.ts'
import type { TypedJson } from './typed-json.ts'

const ANY = 'google.protobuf.Any'
const TIMESTAMP = 'google.protobuf.Timestamp'
const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):\d\d:\d\d(?:\.\d+)?(?:Z|[+-](\d\d):(\d\d))$/

/** Finds the first value whose encoding would differ from the typed text. The JSON must be valid for its message type. */
export class ChangeFinder {
  readonly #registry: Registry
  readonly #sources: TypedJson['sources']

  constructor(registry: Registry, { sources }: TypedJson) {
    this.#registry = registry
    this.#sources = sources
  }

  inMessage(message: DescMessage, json: JsonValue, path: string): Fault | undefined {
    if (message.typeName === TIMESTAMP) {
      return typeof json === 'string' && !isTime(json) ? noTime(json, path) : undefined
    }
    if (message.typeName === ANY) {
      return this.#inAny(json, path)
    }
    for (const [key, value] of isObject(json) ? Object.entries(json) : []) {
      const field = fieldOf(message, key, this.#registry)
      const fault = field == null ? undefined : this.#inField(field, { holder: json, at: key, value }, join(path, key))
      if (fault != null) {
        return fault
      }
    }
    return undefined
  }

  /** In `Any`, messages with a special JSON form stand under `value`. */
  #inAny(json: JsonValue, path: string): Fault | undefined {
    const name = isObject(json) ? String(json['@type']).split('/').at(-1) : undefined
    const message = name == null ? undefined : this.#registry.getMessage(name)
    if (message == null || !isObject(json)) {
      return undefined
    }
    return Object.hasOwn(json, 'value') && message.typeName.startsWith('google.protobuf.')
      ? this.inMessage(message, json['value'] as JsonValue, join(path, 'value'))
      : this.inMessage(message, json, path)
  }

  #inField(field: AnyField, place: { holder: JsonValue; at: string; value: JsonValue }, path: string): Fault | undefined {
    const { value } = place
    if (field.fieldKind !== 'list' && field.fieldKind !== 'map') {
      return this.#inValue(field, place, path)
    }
    for (const [at, one] of value !== null && typeof value === 'object' ? Object.entries(value) : []) {
      const fault = this.#inValue(
        field,
        { holder: value, at, value: one },
        `${path}[${field.fieldKind === 'list' ? at : JSON.stringify(at)}]`,
      )
      if (fault != null) {
        return fault
      }
    }
    return undefined
  }

  #inValue(field: AnyField, place: { holder: JsonValue; at: string; value: JsonValue }, path: string): Fault | undefined {
    const { message } = field
    const scalar = message == null || !isWrapperDesc(message) ? field.scalar : message.fields[0]?.scalar
    const source = this.#sources.get(place.holder)?.get(place.at)
    if (source != null && scalar != null && scalarOf(scalar) === '0' && isRounded(source)) {
      return {
        problem: `${path}: ${source} is over 2^53, and a number that large is rounded in JSON`,
        hint: `in quotes the number is sent exactly: "${source}"`,
      }
    }
    return message == null ? undefined : this.inMessage(message, place.value, path)
  }
}

/** True for a whole number that JSON.parse rounds. */
function isRounded(source: string): boolean {
  return /^-?\d+$/.test(source) && BigInt(Number(source)) !== BigInt(source)
}

/** True for a text in timestamp form that is a real time. Protobuf would move a day past the end of its month into the next month. */
function isTime(text: string): boolean {
  const [, year, month, day, hour, offsetHours = 0, offsetMinutes = 0] = (TIME.exec(text) ?? []).map(Number)
  const lastDay = new Date(Date.UTC(2000 + (Number(year) % 400), Number(month), 0)).getUTCDate()
  return Number(day) <= lastDay && Number(hour) < 24 && (offsetHours || 0) < 24 && (offsetMinutes || 0) < 60
}

function noTime(text: string, path: string): Fault {
  return {
    problem: `${path === '' ? '' : `${path}: `}not a valid time: ${JSON.stringify(text)}`,
    hint: 'write a time like "2026-01-31T12:00:00Z", with a day that the month has',
  }
}
