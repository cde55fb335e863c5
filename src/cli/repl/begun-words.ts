export type Quote = '"' | "'"

/** A word of a partly typed line. */
export interface BegunWord {
  /** The word without quotes and backslashes. */
  text: string
  /** The word as typed. */
  raw: string
  /** The quote that is open at the end of the word. */
  quote: Quote | undefined
}

/** A blank, a backslash with the next character, or any other character. */
const PIECES = /\s|\\[\s\S]?|[\s\S]/gu
/** The characters that a backslash escapes inside double quotes. */
const ESCAPED_IN_QUOTES = /^\\["\\$`]$/

/** Splits a partly typed line into words. The last word is empty if the next word has not begun. Every text is accepted. */
export function begunWords(typed: string): BegunWord[] {
  const words: BegunWord[] = []
  let word: BegunWord | undefined
  for (const [piece] of typed.matchAll(PIECES)) {
    if (word?.quote == null && /^\s$/.test(piece)) {
      word = undefined
      continue
    }
    if (word == null) {
      word = { text: '', raw: '', quote: undefined }
      words.push(word)
    }
    // inside single quotes, a backslash is a plain character
    for (const letter of word.quote === "'" ? piece : [piece]) {
      word.raw += letter
      add(word, letter)
    }
  }
  return word == null ? [...words, { text: '', raw: '', quote: undefined }] : words
}

function add(word: BegunWord, piece: string): void {
  if (piece === word.quote) {
    word.quote = undefined
  } else if (word.quote == null && (piece === '"' || piece === "'")) {
    word.quote = piece
  } else if (word.quote == null ? piece.startsWith('\\') : word.quote === '"' && ESCAPED_IN_QUOTES.test(piece)) {
    word.text += piece.slice(1)
  } else {
    word.text += piece
  }
}

const SPECIAL = /[\s'"\\|&;<>()$`#*?]/g
const SPECIAL_IN_QUOTES = /["\\$`]/g

/** Writes a word as the continuation of a partly typed word: inside the open quote, or with backslashes. */
export function typedAs(word: string, typed: string, quote: Quote | undefined): string {
  if (quote == null) {
    return word.replace(SPECIAL, '\\$&')
  }
  const open = typed.indexOf(quote)
  const { text: before = '' } = begunWords(typed.slice(0, open))[0] ?? {}
  const rest = word.slice(before.length)
  // a single quote always ends at the next one, because a backslash does not escape it
  const quoted = (text: string): string => (quote === '"' ? text.replace(SPECIAL_IN_QUOTES, '\\$&') : text.replaceAll("'", "'\\''"))
  const typedOn = typed.slice(0, open + 1) + quoted(rest)
  return begunWords(typedOn)[0]?.text === word ? typedOn : quote + quoted(word)
}
