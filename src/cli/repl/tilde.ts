import { userFolder } from '../../node/home/home.ts'
import type { Word } from '../../primitives/shell-words.ts'

/** What a peer is sent as it is typed; `--data` may name a file behind an `@`. */
const CONTENT_FLAG = /^--(text|data)(=|$)/
/** Not quoted, at the begin of a word or behind the `=` of a flag. */
const TILDE = /^(?:--[\w-]+=)?~(?=\/|$)/
const TILDE_OF_DATA = /^(?:--data=)?@~(?=\/)/

/** The texts of the words of a line. Where a word names a file, `~` is the user's folder, as in a shell. */
export function expandTildes(line: string, words: readonly Word[]): string[] {
  const folder = userFolder()
  return words.map(({ text, start, end }, index) => {
    const raw = line.slice(start, end)
    const [, flag] = CONTENT_FLAG.exec(raw.includes('=') ? raw : (words[index - 1]?.text ?? '')) ?? []
    const isFile = flag == null ? TILDE.test(raw) : flag === 'data' && TILDE_OF_DATA.test(raw)
    return isFile && folder != null ? text.replace('~', () => folder) : text
  })
}

/** A path that may begin with `~/`, as the system takes it. */
export function withoutTilde(path: string): string {
  return /^~(\/|$)/.test(path) ? `${userFolder() ?? '~'}${path.slice(1)}` : path
}
