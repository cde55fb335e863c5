/** Converts the raw texts of a setting to its value. */
export interface SettingKind<T> {
  fallback: T
  /** Parses one raw text, or all texts of a list. @throws Error that states the expected format */
  parse(texts: string[]): T
  list?: true
  /** True if the flag takes no value. */
  isSwitch?: true
  /** Converts a value to its form in config.json. @default unchanged */
  format?(value: T): unknown
}

const DURATION_UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const

/** Reads `500ms`, `20s`, `5m` or `1h` into milliseconds. @throws Error */
export function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? []
  const ms = Math.round(Number(amount) * DURATION_UNITS_MS[unit as keyof typeof DURATION_UNITS_MS])
  // the maximum of a Node timer
  if (!(ms > 0 && ms <= 2 ** 31 - 1)) {
    throw new Error('a duration like 500ms, 20s or 5m, at most 24 days')
  }
  return ms
}

function formatDuration(ms: number | undefined): string | undefined {
  const unit = (['h', 'm', 's'] as const).find((unit) => ms != null && ms % DURATION_UNITS_MS[unit] === 0) ?? 'ms'
  return ms == null ? undefined : `${ms / DURATION_UNITS_MS[unit]}${unit}`
}

export function text(fallback: string): SettingKind<string>
export function text(fallback: undefined): SettingKind<string | undefined>
export function text(fallback: string | undefined): SettingKind<string | undefined> {
  return {
    fallback,
    parse: ([value]) => {
      if (value === '') {
        throw new Error('a non-empty text')
      }
      return value
    },
  }
}

/** A whole number from `min` to `max`. */
export function integer(fallback: number, min: number, max: number): SettingKind<number> {
  return {
    fallback,
    parse: ([value]) => {
      const number = /^-?\d+$/.test(value ?? '') ? Number(value) : Number.NaN
      if (!(number >= min && number <= max)) {
        throw new Error(`a whole number from ${min} to ${max}`)
      }
      return number
    },
  }
}

/** A duration, in milliseconds. */
export function duration<T extends number | undefined>(fallback: T, min = 1, max = 2 ** 31 - 1): SettingKind<number | T> {
  return {
    fallback,
    format: formatDuration,
    parse: ([value]) => {
      const ms = parseDuration(value ?? '')
      if (ms < min || ms > max) {
        throw new Error(`a duration from ${min}ms to ${max / 1_000}s`)
      }
      return ms
    },
  }
}

/** True or false. */
export function onOff(fallback: boolean): SettingKind<boolean> {
  return {
    fallback,
    isSwitch: true,
    parse: ([value]) => {
      if (value !== 'true' && value !== 'false') {
        throw new Error('true or false')
      }
      return value === 'true'
    },
  }
}

/** A list of texts. @param spell formats a parsed value, to be stored instead of its text */
export function list<T>(read: (text: string) => T, spell?: (value: T) => string): SettingKind<string[]> {
  return {
    fallback: [],
    list: true,
    parse: (values) => {
      if (values.includes('')) {
        throw new Error('non-empty texts')
      }
      const found = values.map(read)
      return spell == null ? values : found.map(spell)
    },
  }
}

/** One of the given words. */
export function oneOf<T extends string>(values: readonly T[], fallback: T): SettingKind<T> {
  return {
    fallback,
    parse: ([value]) => {
      const found = values.find((candidate) => candidate === value)
      if (found == null) {
        throw new Error(`one of ${values.join(', ')}`)
      }
      return found
    },
  }
}
