/** The known beginning and end of a peer ID. One of the two may be empty. */
export interface ShortForm {
  starts: string
  ends: string
}

/** A shorter beginning matches too many peers, because all IDs of ed25519 keys begin with the same eight characters. */
const MIN_STARTS = 12
const MIN_ENDS = 6
/** Maximum peers found for a short form. */
export const MAX_FOUND = 20
const ELLIPSIS = /…|\.{3}/
const BASE58 = /^[1-9A-HJ-NP-Za-km-z]*$/

/** The error text for a short form that is too short. */
export const SHORT_FORM_RULE = `a short form has at least the first ${MIN_STARTS} or the last ${MIN_ENDS} characters of a peer ID`

/**
 * Reads a short form of a peer ID: its beginning, its end, or both with an ellipsis between, as in tables. Returns all possible readings;
 * none for a text that is not a short form, or is too short.
 */
export function readShortForm(text: string): ShortForm[] {
  const [starts = '', ends, ...more] = text.split(ELLIPSIS)
  if (more.length > 0 || !BASE58.test(starts) || !BASE58.test(ends ?? '')) {
    return []
  }
  const readings =
    ends == null
      ? [
          { starts, ends: '' },
          { starts: '', ends: starts },
        ]
      : [{ starts, ends }]
  return readings.filter((reading) => reading.starts.length >= MIN_STARTS || reading.ends.length >= MIN_ENDS)
}

/** True for a text with the ellipsis of a short form. */
export function hasEllipsis(text: string): boolean {
  return ELLIPSIS.test(text)
}

/** True if a peer ID matches any of the readings. */
export function fitsShortForm(peerId: string, readings: ShortForm[]): boolean {
  return readings.some(
    ({ starts, ends }) => peerId.startsWith(starts) && peerId.endsWith(ends) && peerId.length >= starts.length + ends.length,
  )
}

/** The number of characters of a peer ID in a short form. */
export function lengthOfShortForm(text: string): number {
  return text.replace(ELLIPSIS, '').length
}
