import { UsageError } from './errors.ts'

/** A word of a line and its position: from `start` up to, but not including, `end`. */
export interface Word {
  text: string
  start: number
  end: number
}

const OPERATORS = /^(\|\|?|&&?|>>?|<<?|;)/
const EXPANSIONS = /^(`|\$\(|\$\{|\$[A-Za-z_])/
const ESCAPED_IN_QUOTES = '"\\$`'
const USE_THE_SHELL = 'quote it to use it as text; for shell features, run "subnet …" in a shell: it uses this same node'

/**
 * Splits and unquotes a line like a POSIX shell, without expansion. Shell syntax (`|`, `>`, `&&`, `$HOME`, …) is an error, not text.
 * @param options.comments whether a word that begins with `#` begins a comment; otherwise it is an error @default true
 * @throws UsageError
 */
export function shellWords(line: string, { comments = true }: { comments?: boolean } = {}): Word[] {
  return new Splitter(line, comments).split()
}

class Splitter {
  readonly #line: string
  readonly #comments: boolean
  readonly #words: Word[] = []
  #at = 0
  #word: { text: string; start: number } | undefined

  constructor(line: string, comments: boolean) {
    this.#line = line
    this.#comments = comments
  }

  split(): Word[] {
    while (this.#at < this.#line.length) {
      const character = this.#line[this.#at] as string
      if (/\s/.test(character)) {
        this.#finish()
        this.#at++
      } else if (character === '#' && this.#word == null) {
        if (!this.#comments) {
          throw onlyInShell(character)
        }
        break
      } else if (character === "'" || character === '"') {
        this.#quoted(character)
      } else {
        this.#plain(character)
      }
    }
    this.#finish()
    return this.#words
  }

  #plain(character: string): void {
    const rest = this.#line.slice(this.#at)
    const operator = OPERATORS.exec(rest)?.[0] ?? EXPANSIONS.exec(rest)?.[0]
    if (operator != null) {
      throw onlyInShell(operator)
    }
    if (character === '\\') {
      this.#at++
      if (this.#at >= this.#line.length) {
        throw new UsageError('nothing follows the last backslash')
      }
    }
    this.#add(this.#line[this.#at] as string)
    this.#at++
  }

  #quoted(quote: string): void {
    const start = this.#at
    this.#add('')
    for (this.#at++; this.#line[this.#at] !== quote; this.#at++) {
      if (this.#at >= this.#line.length) {
        throw new UsageError(`the quote ${quote} at character ${start + 1} is not closed`)
      }
      if (quote === '"') {
        this.#expandNothing()
      }
      this.#add(this.#line[this.#at] as string)
    }
    this.#at++
  }

  /** Inside double quotes: skips the backslash of an escaped character. */
  #expandNothing(): void {
    const next = this.#line[this.#at + 1] ?? ''
    if (this.#line[this.#at] === '\\' && next !== '' && ESCAPED_IN_QUOTES.includes(next)) {
      this.#at++
      return
    }
    const expansion = EXPANSIONS.exec(this.#line.slice(this.#at))?.[0]
    if (expansion != null) {
      throw new UsageError(`${JSON.stringify(expansion)} is expanded only by a shell, and this is not one`, { hint: USE_THE_SHELL })
    }
  }

  #add(text: string): void {
    this.#word ??= { text: '', start: this.#at }
    this.#word.text += text
  }

  #finish(): void {
    if (this.#word != null) {
      this.#words.push({ ...this.#word, end: this.#at })
      this.#word = undefined
    }
  }
}

function onlyInShell(operator: string): UsageError {
  return new UsageError(`${JSON.stringify(operator)} only means something to a shell, and this is not one`, { hint: USE_THE_SHELL })
}

/** A text as one word of a POSIX shell, in quotes only where they are needed. */
export function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
