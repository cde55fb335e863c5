import { thousandths } from '../../primitives/thousandths.ts'

/** The names of measured fields: times in milliseconds, and rates. */
const MEASURED = /^ms$|Ms$|PerSecond$/

/** JSON in one line. Measured numbers have at most three decimals, because further digits are noise. */
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
