export type Quote = '"' | "'"

/** A word of a line that is being typed. */
export interface BegunWord {
  /** Without quotes and backslashes. */
  text: string
  /** As it was typed. */
  raw: string
  /** The quote that is open at its end. */
  quote: Quote | undefined
}

/** A blank, a quote, a letter behind a backslash, or a letter. */
const PIECES = /\s|\\[\s\S]?|[\s\S]/gu
/** What a backslash takes its meaning from inside of double quotes. */
const ESCAPED_IN_QUOTES = /^\\["\\$`]$/

/** The words of a line of which this is typed so far. The last one is empty where the next word is to begin. Nothing of it is refused. */
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
    // behind a single quote a backslash is one
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

/** A word as it is typed on where this much of it was typed: in the quote that is open, or with backslashes. */
export function typedAs(word: string, typed: string, quote: Quote | undefined): string {
  if (quote == null) {
    return word.replace(SPECIAL, '\\$&')
  }
  const open = typed.indexOf(quote)
  const { text: before = '' } = begunWords(typed.slice(0, open))[0] ?? {}
  const rest = word.slice(before.length)
  // a single quote ends where the next one is, whatever stands before it
  const quoted = (text: string): string => (quote === '"' ? text.replace(SPECIAL_IN_QUOTES, '\\$&') : text.replaceAll("'", "'\\''"))
  const typedOn = typed.slice(0, open + 1) + quoted(rest)
  return begunWords(typedOn)[0]?.text === word ? typedOn : quote + quoted(word)
}
