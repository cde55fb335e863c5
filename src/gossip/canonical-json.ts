export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** Deeper than any state of a peer. */
const MAX_DEPTH = 32
/** JSON.stringify escapes what is below these, and lone surrogates; Python escapes DEL too. */
const NOT_PRINTABLE = /[\u007f-\uffff]/g

/** From here down Python writes a fraction with an exponent. */
const MIN_FRACTION = 1e-4

/**
 * A value as Python's json.dumps writes it with sorted keys, no spaces and only ASCII: the form that the template signs and hashes. A number that Python
 * writes otherwise becomes NaN, so that the text is no JSON. Keys of the astral planes are sorted otherwise there.
 * @throws Error where values are nested more than 32 deep
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
