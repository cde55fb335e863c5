export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** More nesting than any peer state has. */
const MAX_DEPTH = 32
/** JSON.stringify escapes the characters below this range, and lone surrogates. Python also escapes DEL. */
const NOT_PRINTABLE = /[\u007f-\uffff]/g

/** Python writes smaller fractions with an exponent. */
const MIN_FRACTION = 1e-4

/**
 * Serializes a value like Python's json.dumps with sorted keys, no spaces and ASCII only: the form that the template signs and hashes. A
 * number that Python writes differently becomes NaN, so that the text is not valid JSON. Keys outside the Basic Multilingual Plane are
 * sorted differently.
 * @throws Error if values are nested more than 32 deep
 */
export function canonicalJson(value: Json, depth = 0): string {
  if (depth > MAX_DEPTH) {
    throw new Error(`nested more than ${MAX_DEPTH} deep`)
  }
  if (Array.isArray(value)) {
    return `[${value.map((item) => canonicalJson(item, depth + 1)).join(',')}]`
  }
  if (isObject(value)) {
    const members = Object.keys(value).sort()
    return `{${members.map((key) => `${quoted(key)}:${canonicalJson(value[key] ?? null, depth + 1)}`).join(',')}}`
  }
  return typeof value === 'string' ? quoted(value) : typeof value === 'number' ? written(value) : String(value)
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value != null && !Array.isArray(value)
}

function written(value: number): string {
  const text = String(value)
  return text.includes('e') || (!Number.isInteger(value) && Math.abs(value) < MIN_FRACTION) ? 'NaN' : text
}

function quoted(text: string): string {
  return JSON.stringify(text).replace(NOT_PRINTABLE, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
