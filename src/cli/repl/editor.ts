import { createInterface, type Interface, type Key } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { MAX_HISTORY_LINES } from './history.ts'
import { HistorySearch } from './history-search.ts'

export interface EditorInit {
  input: Readable
  output: Writable
  prompt: string
  /** The newest first. */
  history: string[]
  /** What the line up to the cursor may go on with, and how much of it that takes the place of. */
  complete(line: string): Promise<[string[], string]>
  /** Called for each key before it acts. */
  onKey(key: Key): void
}

/** readline calls the first for each key; whoever puts another in its place, as Node's own REPL does, sees all keys. */
interface Keyed {
  _ttyWrite(text: string | undefined, key: Key): void
}

/** Keys that act on a terminal that can write only, besides text: the ends of a line and of the input, and Ctrl-C. readline would take all other keys for text. */
const ACTS_ON_DUMB = ['\r', '\n', '\u0003', '\u0004']

/** Whether the terminal can do nothing but write, as one in an editor. */
export function isDumb(): boolean {
  return process.env.TERM === 'dumb'
}

/** readline on a terminal. While it looks for what completes a line, the keys that follow wait: they are meant for the line that comes of it. */
export function openEditor({ input, output, prompt, history, complete, onKey }: EditorInit): Interface {
  let completing = false
  const waiting: Array<[string | undefined, Key]> = []
  const editor = createInterface({
    input,
    output,
    terminal: true,
    prompt,
    history,
    historySize: MAX_HISTORY_LINES,
    removeHistoryDuplicates: true,
    completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
      completing = true
      void complete(line)
        .catch((): [string[], string] => [[], line])
        .then((result) => {
          done(null, result)
          setImmediate(goOn)
        })
    },
  })
  const keyed = editor as unknown as Keyed
  const act = keyed._ttyWrite.bind(editor)
  const search = new HistorySearch(editor, prompt)
  const press = (text: string | undefined, key: Key): void => {
    // readline takes a Tab that comes with other keys for pasted text; over a slow line all keys come so, and bash completes too
    Object.assign(editor, { isCompletionEnabled: true })
    onKey(key ?? {})
    if (!isDumb()) {
      if (!search.takes(text, key ?? {})) {
        act(text, key)
      }
    } else if (key?.name === 'backspace') {
      takeBack(editor, output)
    } else if (text == null || ACTS_ON_DUMB.includes(text) || !/\p{Cc}/u.test(text)) {
      act(text, key)
    }
  }
  const goOn = (): void => {
    completing = false
    while (!completing && waiting.length > 0) {
      press(...(waiting.shift() as [string | undefined, Key]))
    }
  }
  keyed._ttyWrite = (text, key) => {
    if (completing) {
      waiting.push([text, key])
    } else {
      press(text, key)
    }
  }
  return editor
}

/** The last letter, on a terminal that can write only. */
function takeBack(editor: Interface, output: Writable): void {
  const letters = [...new Intl.Segmenter().segment(editor.line)].map(({ segment }) => segment)
  if (letters.pop() != null) {
    const line = letters.join('')
    Object.assign(editor, { line, cursor: line.length })
    output.write('\b \b')
  }
}
