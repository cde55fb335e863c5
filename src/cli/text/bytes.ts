const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** A number of bytes for people, in powers of 1,000: `5 B`, `1.5 MB`, `300 MB`. */
export function humanBytes(bytes: number): string {
  const power = bytes < 1_000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3))
  const value = bytes / 1_000 ** power
  // 999,999 bytes are 1.0 MB, not 1000 kB
  if (Math.round(value) >= 1_000 && power < UNITS.length - 1) {
    return `1.0 ${UNITS[power + 1]}`
  }
  return `${power > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`
}
