import { stripVTControlCharacters } from 'node:util'

/** Invisible characters: they have no width, or change the direction of the text around them. */
const UNSEEN = /[\p{DI}\p{Bidi_C}\ufff9-\ufffb]/gu

/**
 * Makes text that may come from a peer harmless for a terminal: one line, without control characters. An invisible character is replaced by
 * its code, in JSON notation.
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

/** Like `printable`, for text of several lines: line breaks and tabs stay. */
export function printableLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.split('\t').map(printable).join('\t'))
    .join('\n')
}
