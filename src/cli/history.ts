import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Home } from '../node/home.ts'
import { AtomicFile } from '../primitives/atomic-file.ts'
import { shellWords } from '../primitives/shell-words.ts'

export const MAX_HISTORY_LINES = 1_000
/** What follows these may be somebody's data. */
const CONTENT_FLAGS = ['--text', '--data']

/** The lines typed in a home's shell, over runs: one a line, the newest last, for the user's eyes only (0600). */
export class History {
  readonly #file: string
  readonly #lines: string[]
  #writing: Promise<void> = Promise.resolve()
  #unwritten = false

  private constructor(file: string, lines: string[]) {
    this.#file = file
    this.#lines = lines
  }

  /** A history that cannot be read is an empty one. */
  static async open(home: Home): Promise<History> {
    const file = join(home.path, 'repl_history')
    const text = await readFile(file, 'utf8').catch(() => '')
    const lines = text.split('\n').filter((line) => line !== '')
    return new History(file, lines.slice(-MAX_HISTORY_LINES))
  }

  /** The newest first, as readline wants them. */
  get lines(): string[] {
    return this.#lines.toReversed()
  }

  /** Keeps a line, but not the content that it would send; not one that begins with a blank. */
  add(line: string): void {
    const kept = withoutContent(line)
    if (kept === '' || /^\s/.test(line) || kept === this.#lines.at(-1)) {
      return
    }
    this.#lines.push(kept)
    this.#lines.splice(0, Math.max(0, this.#lines.length - MAX_HISTORY_LINES))
    if (!this.#unwritten) {
      this.#unwritten = true
      this.#writing = this.#writing.then(async () => this.#write()).catch(() => undefined)
    }
  }

  /** Resolves when every line is in the file, if it can be written at all. */
  async written(): Promise<void> {
    await this.#writing
  }

  async #write(): Promise<void> {
    this.#unwritten = false
    const file = await AtomicFile.open(this.#file, 0o600)
    try {
      await file.write(Buffer.from(this.#lines.map((line) => `${line}\n`).join('')))
      await file.commit()
    } finally {
      await file.discard()
    }
  }
}

/** The line without the values of `--text` and `--data`; empty for one that is no command line. */
export function withoutContent(line: string): string {
  let words: ReturnType<typeof shellWords>
  try {
    words = shellWords(line)
  } catch {
    return ''
  }
  let kept = ''
  let at = 0
  const drop = (from: number, to: number): void => {
    kept += line.slice(at, from)
    at = to
  }
  words.forEach((word, index) => {
    const flag = CONTENT_FLAGS.find((name) => word.text === name || word.text.startsWith(`${name}=`))
    if (flag == null) {
      return
    }
    if (word.text !== flag) {
      drop(word.start, word.end)
      kept += `${flag}=`
    } else if (words[index + 1] != null) {
      drop((words[index + 1] as { start: number }).start, (words[index + 1] as { end: number }).end)
    }
  })
  return (kept + line.slice(at)).trim()
}
