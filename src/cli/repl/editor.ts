import { createInterface, type Interface, type Key } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { MAX_HISTORY_LINES } from './history.ts'
import { HistorySearch } from './history-search.ts'

export interface EditorInit {
  input: Readable
  output: Writable
  prompt: string
  /** Older lines, the newest first. */
  history: string[]
  /** Returns the possible completions of the line up to the cursor, and the part of the line that they replace. */
  complete(line: string): Promise<[string[], string]>
  /** Called for each key before it acts. */
  onKey(key: Key): void
}

/** readline calls this method for each key. A replacement sees all keys; Node's own REPL does the same. */
interface Keyed {
  _ttyWrite(text: string | undefined, key: Key): void
}

/** Keys that work besides text on a terminal without cursor movement: line end, input end, and Ctrl-C. readline takes others for text. */
const ACTS_ON_DUMB = ['\r', '\n', '\u0003', '\u0004']

/** True for a terminal that can only append text, such as a terminal in an editor. */
export function isDumb(): boolean {
  return process.env.TERM === 'dumb'
}

/** Opens readline on a terminal. Keys pressed during a completion wait, because they belong to the completed line. */
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
    // readline takes a Tab that arrives with other keys for pasted text; on a slow connection, keys often arrive together
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

/** Deletes the last character on a terminal without cursor movement. */
function takeBack(editor: Interface, output: Writable): void {
  const letters = [...new Intl.Segmenter().segment(editor.line)].map(({ segment }) => segment)
  if (letters.pop() != null) {
    const line = letters.join('')
    Object.assign(editor, { line, cursor: line.length })
    output.write('\b \b')
  }
}
