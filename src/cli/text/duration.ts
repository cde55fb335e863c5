import { parseDuration } from '../../node/home/setting-kinds.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'

/** Parses a flag's duration into milliseconds. @throws UsageError */
export function parseDurationFlag(name: string, text: string | undefined): number | undefined {
  if (text == null) {
    return undefined
  }
  try {
    return parseDuration(text)
  } catch (cause) {
    throw new UsageError(`--${name}: ${JSON.stringify(text)} is not valid; expected ${describeError(cause)}`, { cause })
  }
}

/** Parses a flag's whole number, from 1 to `max`. @throws UsageError */
export function parseCountFlag(name: string, text: string | undefined, max: number): number | undefined {
  if (text == null) {
    return undefined
  }
  const count = /^\d+$/.test(text) ? Number(text) : 0
  if (count < 1 || count > max) {
    throw new UsageError(`--${name}: ${JSON.stringify(text)} is not valid; expected a whole number from 1 to ${max}`)
  }
  return count
}
