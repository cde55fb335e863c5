import { userFolder } from '../../node/home/home.ts'
import type { Word } from '../../primitives/shell-words.ts'

/** Flags whose value is sent to a peer as typed. A file after the `@` of `--data` is read by the command. */
const CONTENT_FLAG = /^--(text|data)(=|$)/
/** An unquoted `~` at the start of a word or after the `=` of a flag. */
const TILDE = /^(?:--[\w-]+=)?~(?=\/|$)/

/** The texts of the words of a line. In a word that names a file, `~` is the user's folder, as in a shell. */
export function expandTildes(line: string, words: readonly Word[]): string[] {
  const folder = userFolder()
  return words.map(({ text, start, end }, index) => {
    const raw = line.slice(start, end)
    const isContent = CONTENT_FLAG.test(raw.includes('=') ? raw : (words[index - 1]?.text ?? ''))
    return !isContent && TILDE.test(raw) && folder != null ? text.replace('~', () => folder) : text
  })
}

/** Expands `~` at the start of a path to the user's folder. */
export function withoutTilde(path: string): string {
  return /^~(\/|$)/.test(path) ? `${userFolder() ?? '~'}${path.slice(1)}` : path
}
