import measure from 'fast-string-truncated-width'
import { printable } from '../../primitives/printable.ts'

/** Columns as wide as their widest cell; every line is cut to `width`. */
export function table(rows: string[][], width = Number.POSITIVE_INFINITY): string {
  const cells = rows.map((row) => row.map(printable))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ''))))
  return cells.map((row) => cut(row.map((cell, column) => padded(cell, widths[column] ?? 0)).join('  '), width).trimEnd()).join('\n')
}

/**
 * A table whose peer IDs are whole if it then fits `width`, and short otherwise.
 * @param rowsOf returns the rows; its argument formats a peer ID
 */
export function peerIdTable(rowsOf: (write: (peerId: string) => string) => string[][], width = Number.POSITIVE_INFINITY): string {
  const whole = table(rowsOf((peerId) => peerId))
  return whole.split('\n').every((line) => widthOf(line) <= width) ? whole : table(rowsOf(shortPeerId), width)
}

/** Cuts a text to `width` columns; an ellipsis marks the cut. */
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

/**
 * Wraps a text between words, to lines of at most `width` columns. Without a width, as off a terminal, the text is unchanged. The first
 * line starts after `indent` columns, and later lines start with that many blanks: a longer word, such as an address, then continues
 * after a slash. Without `indent` the terminal breaks it, and it can be copied.
 */
export function wrapped(text: string, width: number | undefined, indent = 0): string {
  if (width == null) {
    return text
  }
  return text
    .split('\n')
    .map((line) => wrappedLine(line, Math.max(1, width - indent), indent > 0).join(`\n${' '.repeat(indent)}`))
    .join('\n')
}

/** Keeps all blanks except at line breaks. A word wider than the line gets a separate line. */
function wrappedLine(text: string, width: number, atSlashes: boolean): string[] {
  const lines: string[] = []
  let line = ''
  for (const part of text.match(/[^\S\u00a0]*(?:\S|\u00a0)+|\s+$/g) ?? []) {
    if (line.trim() !== '' && widthOf(line + part.trimEnd()) > width) {
      lines.push(line)
      line = part.replace(/^ +/, '')
    } else {
      line += part
    }
    if (atSlashes && line.includes('/') && widthOf(line) > width) {
      lines.push(...splitAtSlashes(line, width))
      line = lines.pop() ?? ''
    }
  }
  return [...lines, line]
}

function splitAtSlashes(word: string, width: number): string[] {
  const [first = '', ...rest] = word.split(/(?<=\/)/)
  const lines = [first]
  for (const part of rest) {
    const longer = `${lines.at(-1)}${part}`
    if (widthOf(longer) <= width) {
      lines[lines.length - 1] = longer
    } else {
      lines.push(part)
    }
  }
  return lines
}

/** The columns that a text takes on a terminal. */
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
