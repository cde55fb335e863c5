import { userFolder } from '../../node/home/home.ts'
import type { Word } from '../../primitives/shell-words.ts'

/** Flags whose value is sent to a peer as typed. The value of `--data` may be a file after an `@`. */
const CONTENT_FLAG = /^--(text|data)(=|$)/
/** An unquoted `~` at the start of a word or after the `=` of a flag. */
const TILDE = /^(?:--[\w-]+=)?~(?=\/|$)/
const TILDE_OF_DATA = /^(?:--data=)?@~(?=\/)/

/** The texts of the words of a line. In a word that names a file, `~` is the user's folder, as in a shell. */
export function expandTildes(line: string, words: readonly Word[]): string[] {
  const folder = userFolder()
  return words.map(({ text, start, end }, index) => {
    const raw = line.slice(start, end)
    const [, flag] = CONTENT_FLAG.exec(raw.includes('=') ? raw : (words[index - 1]?.text ?? '')) ?? []
    const isFile = flag == null ? TILDE.test(raw) : flag === 'data' && TILDE_OF_DATA.test(raw)
    return isFile && folder != null ? text.replace('~', () => folder) : text
  })
}

/** Expands `~` at the start of a path to the user's folder. */
export function withoutTilde(path: string): string {
  return /^~(\/|$)/.test(path) ? `${userFolder() ?? '~'}${path.slice(1)}` : path
}
