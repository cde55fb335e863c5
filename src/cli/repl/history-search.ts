import type { Interface, Key } from 'node:readline'

/** The members of readline that a search uses. */
interface Searched {
  line: string
  cursor: number
  /** Older lines, the newest first. */
  history: string[]
  /** Redraws the prompt and the line. */
  _refreshLine(): void
}

/** The keys of a search. */
const [SEARCH, BACKSPACE, LEAVE] = ['r', 'backspace', ['c', 'g']]

/** Ctrl-R, which readline lacks: searches the history for a text, as in bash. */
export class HistorySearch {
  readonly #editor: Interface & Searched
  readonly #prompt: string
  #active = false
  #text = ''
  /** The index of the shown line in the history. */
  #at = -1
  #before = { line: '', cursor: 0 }

  constructor(editor: Interface, prompt: string) {
    this.#editor = editor as Interface & Searched
    this.#prompt = prompt
  }

  /** True if the search handled the key. Any other key ends the search with the found line, and then acts as usual. */
  takes(text: string | undefined, { ctrl, meta, name }: Key): boolean {
    if (!this.#active) {
      if (ctrl !== true || name !== SEARCH) {
        return false
      }
      this.#begin()
      return true
    }
    if (ctrl === true && name === SEARCH) {
      this.#find(this.#at + 1)
    } else if (ctrl === true && LEAVE.includes(name ?? '')) {
      Object.assign(this.#editor, this.#before)
      this.#end()
    } else if (name === BACKSPACE) {
      this.#text = this.#text.slice(0, -1)
      this.#find(0)
    } else if (ctrl !== true && meta !== true && text != null && text !== '' && !/\p{Cc}/u.test(text)) {
      this.#text += text
      this.#find(Math.max(0, this.#at))
    } else {
      this.#end()
      // Escape only ends the search
      return name === 'escape'
    }
    return true
  }

  #begin(): void {
    const { line, cursor } = this.#editor
    this.#active = true
    this.#text = ''
    this.#at = -1
    this.#before = { line, cursor }
    this.#show(true)
  }

  /** Shows the newest match, starting at this index. */
  #find(from: number): void {
    const { history } = this.#editor
    const at = this.#text === '' ? -1 : history.findIndex((line, index) => index >= from && line.includes(this.#text))
    if (at >= 0) {
      this.#at = at
      const found = history[at] as string
      Object.assign(this.#editor, { line: found, cursor: found.indexOf(this.#text) })
    }
    this.#show(at >= 0 || this.#text === '')
  }

  #show(found: boolean): void {
    this.#editor.setPrompt(`(${found ? '' : 'no older line: '}search) ${this.#text}: `)
    this.#editor._refreshLine()
  }

  #end(): void {
    this.#active = false
    this.#editor.setPrompt(this.#prompt)
    this.#editor._refreshLine()
  }
}
