/** What a short form of a peer ID tells of it. One of the two may be empty. */
export interface ShortForm {
  starts: string
  ends: string
}

/** Shorter ones fit too many peers: all IDs of ed25519 keys begin with the same eight characters. */
const MIN_STARTS = 12
const MIN_ENDS = 6
/** Peers that are found for a short form, at most. */
export const MAX_FOUND = 20
const ELLIPSIS = /…|\.{3}/
const BASE58 = /^[1-9A-HJ-NP-Za-km-z]*$/

/** What is said where a short form is too short. */
export const SHORT_FORM_RULE = `a short form has at least the first ${MIN_STARTS} or the last ${MIN_ENDS} characters of a peer ID`

/**
 * Reads a short form of a peer ID: its beginning, its end, or both with an ellipsis between, as tables print it. Gives each reading; none for a text
 * that is no short form, or too short.
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

/** True for a text with the ellipsis of a short form in it. */
export function hasEllipsis(text: string): boolean {
  return ELLIPSIS.test(text)
}

/** Whether a peer ID has one of these readings. */
export function fitsShortForm(peerId: string, readings: ShortForm[]): boolean {
  return readings.some(
    ({ starts, ends }) => peerId.startsWith(starts) && peerId.endsWith(ends) && peerId.length >= starts.length + ends.length,
  )
}

/** How many characters of a peer ID a short form tells. */
export function lengthOfShortForm(text: string): number {
  return text.replace(ELLIPSIS, '').length
}
