import { stripVTControlCharacters } from 'node:util'
import measure from 'fast-string-truncated-width'

/** What takes no room, or turns the direction of what stands around it: nobody sees that it is there. */
const UNSEEN = /[\p{DI}\p{Bidi_C}\ufff9-\ufffb]/gu

/**
 * Text that may have come from a peer, made harmless for a terminal: one line, no control characters. A character that nobody would see is shown as
 * its code, as JSON spells it.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  const line = stripVTControlCharacters(text).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
  return line.replace(UNSEEN, codeOf)
}

function codeOf(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}

/** Like `printable`, of a text of many lines: these and tabs stay. */
export function printableLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.split('\t').map(printable).join('\t'))
    .join('\n')
}

/** Columns as wide as their widest cell; every line is cut to `width`. */
export function table(rows: string[][], width = Number.POSITIVE_INFINITY): string {
  const cells = rows.map((row) => row.map(printable))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ''))))
  return cells.map((row) => cut(row.map((cell, column) => padded(cell, widths[column] ?? 0)).join('  '), width).trimEnd()).join('\n')
}

/** As much of the text as fits a terminal's `width`; what was cut off is told by an ellipsis. */
export function cut(text: string, width: number): string {
  if (widthOf(text.trimEnd()) <= width) {
    return text
  }
  let [shown, room] = ['', width - 1]
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    room -= widthOf(segment)
    if (room < 0) {
      break
    }
    shown += segment
  }
  return `${shown}…`
}

/** How many columns of a terminal a text takes. */
export function widthOf(text: string): number {
  return measure(text).width
}

function padded(text: string, width: number): string {
  return text + ' '.repeat(width - widthOf(text))
}

/** `12D3KooW…6 last characters`, for people. */
export function shortPeerId(peerId: string): string {
  return peerId.length <= 16 ? peerId : `${peerId.slice(0, 8)}…${peerId.slice(-6)}`
}
