import type { Interface, Key } from 'node:readline'

/** What a search does with readline's own. */
interface Searched {
  line: string
  cursor: number
  /** The newest first. */
  history: string[]
  /** Draws the prompt and the line anew. */
  _refreshLine(): void
}

/** Keys that change what is looked for, or which line is shown. */
const [SEARCH, BACKSPACE, LEAVE] = ['r', 'backspace', ['c', 'g']]

/** Ctrl-R, which readline has not: looks for an older line that has a text in it, as bash does. */
export class HistorySearch {
  readonly #editor: Interface & Searched
  readonly #prompt: string
  #active = false
  #text = ''
  /** Of the line that is shown, in the history. */
  #at = -1
  #before = { line: '', cursor: 0 }

  constructor(editor: Interface, prompt: string) {
    this.#editor = editor as Interface & Searched
    this.#prompt = prompt
  }

  /** Whether the key was the search's. Any other ends it, with the line that it found, and does what it does. */
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
      // there it only ends the search
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

  /** The newest line from there on. */
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
