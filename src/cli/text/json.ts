import { thousandths } from '../../primitives/thousandths.ts'

/** Fields of what was measured: times in milliseconds, and rates. */
const MEASURED = /^ms$|Ms$|PerSecond$/

/** JSON in one line. What was measured has at most three decimals: more of them mean nothing. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (key, field: unknown) => {
    if (!MEASURED.test(key)) {
      return field
    }
    return Array.isArray(field) ? field.map(rounded) : rounded(field)
  })
}

function rounded(value: unknown): unknown {
  return typeof value === 'number' ? thousandths(value) : value
}
