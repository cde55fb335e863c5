import type { JsonValue } from '@bufbuild/protobuf'

/** Parsed JSON, with the source text of the numbers that JavaScript prints differently. */
export interface TypedJson {
  json: JsonValue
  /** Source texts by the object or list that holds the number, and by its key. */
  sources: Map<unknown, Map<string, string>>
}

/** Numbers that JavaScript may print differently: long numbers, and numbers with an exponent or a leading minus. */
const NOTABLE = /\d{16}|\d[eE]|-0|\.\d*0\b/

/** @throws SyntaxError */
export function parseTyped(text: string): TypedJson {
  const sources: TypedJson['sources'] = new Map()
  if (!NOTABLE.test(text)) {
    return { json: JSON.parse(text) as JsonValue, sources }
  }
  const notice = function (this: unknown, key: string, value: unknown, { source }: { source?: string } = {}): unknown {
    if (typeof value === 'number' && source != null && String(value) !== source) {
      sources.set(this, (sources.get(this) ?? new Map()).set(key, source))
    }
    return value
  }
  return { json: JSON.parse(text, notice) as JsonValue, sources }
}
