import { SUCCESS, UsageError } from '../../primitives/errors.ts'
import { shellWords } from '../../primitives/shell-words.ts'

/** Words that end a shell or a script. They are not commands. */
const END_WORDS = ['exit', 'quit']
export const CLEAR = 'clear'
/** Words in place of a command that the shell itself handles. */
export const BUILTINS = [CLEAR, ...END_WORDS]
/** The highest exit code of a process. */
const MAX_EXIT_CODE = 255

/** The exit code of a line that ends a shell or a script: 0, or the code after the word; undefined for other lines. */
export function exitCodeOf(line: string): number | undefined {
  const [word, code, ...more] = wordsOf(line)
  if (word == null || !END_WORDS.includes(word) || more.length > 0) {
    return undefined
  }
  return code == null ? SUCCESS : readCode(code)
}

/** True for a line that clears the screen. */
export function clearsScreen(line: string): boolean {
  const [word, ...more] = wordsOf(line)
  return word === CLEAR && more.length === 0
}

/** True for a line that stops the node. */
export function stopsNode(line: string): boolean {
  return /^\s*(subnet\s+)?stop\b/.test(line)
}

/** Rejects words of the shell with invalid arguments. @throws UsageError */
export function checkBuiltin([word = '', ...more]: string[]): void {
  if (END_WORDS.includes(word)) {
    throw new UsageError(`${word}: ${JSON.stringify(more.join(' '))} is not an exit code`, {
      hint: `expected a whole number from 0 to ${MAX_EXIT_CODE}`,
    })
  }
  if (word === CLEAR && more.length > 0) {
    throw new UsageError(`${CLEAR} takes no arguments`)
  }
}

function wordsOf(line: string): string[] {
  try {
    const words = shellWords(line).map(({ text }) => text)
    return words[0] === 'subnet' ? words.slice(1) : words
  } catch {
    return []
  }
}

function readCode(text: string): number | undefined {
  return /^\d{1,3}$/.test(text) && Number(text) <= MAX_EXIT_CODE ? Number(text) : undefined
}
