import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Home } from '../../node/home/home.ts'
import { AtomicFile } from '../../primitives/atomic-file.ts'
import { lockFileInTime } from '../../primitives/file-lock.ts'
import { readInputFile } from '../../primitives/input-file.ts'
import { shellWords } from '../../primitives/shell-words.ts'

export const MAX_HISTORY_LINES = 1_000
const MAX_HISTORY_BYTES = 64 << 20
/** Flags whose value may be private data. */
const CONTENT_FLAGS = ['--text', '--data']

/**
 * The shell history of a home, across runs: one entry a line, the newest last, readable only by the user (0600). Shells that are open at the
 * same time add to one file.
 */
export class History {
  /** Undefined if no history is kept. */
  readonly #file: string | undefined
  readonly #lines: string[]
  #writing: Promise<void> = Promise.resolve()
  /** The number of the last lines that are not in the file yet. */
  #unwritten = 0

  private constructor(file: string | undefined, lines: string[]) {
    this.#file = file
    this.#lines = lines
  }

  /** Opens the history. An unreadable history counts as empty. A device or a pipe, such as a link to /dev/null, disables the history. */
  static async open(home: Home): Promise<History> {
    const file = join(home.path, 'repl_history')
    const there = await stat(file).catch(() => undefined)
    if (there?.isFile() === false) {
      return new History(undefined, [])
    }
    return new History(file, await readLines(file))
  }

  /** Newest first, as readline expects. */
  get lines(): string[] {
    return this.#lines.toReversed()
  }

  /** Adds a line without its payload. A line with a leading blank is not kept. */
  add(line: string): void {
    const kept = withoutContent(line)
    if (kept === '' || /^\s/.test(line) || kept === this.#lines.at(-1)) {
      return
    }
    this.#lines.push(kept)
    this.#lines.splice(0, Math.max(0, this.#lines.length - MAX_HISTORY_LINES))
    if (this.#file != null) {
      this.#unwritten++
      const file = this.#file
      this.#writing = this.#writing.then(async () => this.#write(file)).catch(() => undefined)
    }
  }

  /** Resolves after the pending writes. The lines of a failed write are written with the next line. */
  async written(): Promise<void> {
    await this.#writing
  }

  async #write(path: string): Promise<void> {
    if (this.#unwritten === 0) {
      return
    }
    using _lock = await lockFileInTime(path)
    const before = await readLines(path)
    const unwritten = this.#unwritten
    const lines = [...before, ...this.#lines.slice(-unwritten)].slice(-MAX_HISTORY_LINES)
    const file = await AtomicFile.open(path, 0o600)
    try {
      await file.write(Buffer.from(lines.map((line) => `${line}\n`).join('')))
      await file.commit()
      this.#unwritten -= unwritten
    } finally {
      await file.discard()
    }
  }
}

/** The last lines of a history file. Empty if the file cannot be read. */
async function readLines(file: string): Promise<string[]> {
  const text = (await readInputFile(file, { maxBytes: MAX_HISTORY_BYTES }).catch(() => '')).toString()
  return text
    .split('\n')
    .filter((line) => line !== '')
    .slice(-MAX_HISTORY_LINES)
}

/** The line without the values of `--text` and `--data`; empty if the line cannot be parsed. */
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
