import { chalkStderr } from 'chalk'
import inquirer from 'inquirer'
import { wrapped } from './render.ts'
import { Interrupted } from './report.ts'

export interface Choice {
  value: string
  name: string
}

type Questions = ReturnType<typeof inquirer.createPromptModule>

/** Asks for a choice from a list. @throws Interrupted, the signal's reason */
export async function choose(message: string, choices: Choice[], signal: AbortSignal): Promise<string> {
  return asked(signal, async (questions) => questions([{ type: 'select', name: 'answer', message, choices, pageSize: 15 }]))
}

/** Asks yes or no. @throws Interrupted, the signal's reason */
export async function confirm(message: string, signal: AbortSignal, fallback = false): Promise<boolean> {
  const check = async (text: string): Promise<true | string> => yesOrNo(text) != null || 'expected yes or no'
  const [word, shown] = fallback ? ['yes', 'Y/n'] : ['no', 'y/N']
  return yesOrNo(await input(message, { fallback: word, shown, check, signal })) === true
}

function yesOrNo(text: string): boolean | undefined {
  const word = text.trim().toLowerCase()
  return ['y', 'yes', 'true'].includes(word) ? true : ['n', 'no', 'false'].includes(word) ? false : undefined
}

export interface InputOptions {
  /** The answer if the line is empty. */
  fallback: string
  /** What stands in parentheses after the question. @default the fallback */
  shown?: string
  /** Returns true, or an error message for an invalid answer. */
  check(text: string): Promise<true | string>
  signal: AbortSignal
}

/** The columns before a question. */
const MARK_COLUMNS = 2

/** Asks for a line of text. @throws Interrupted, the signal's reason */
export async function input(question: string, { fallback, shown = fallback, check, signal }: InputOptions): Promise<string> {
  // inquirer breaks words
  const inWords = (text: string): string => wrapped(text, process.stderr.columns, MARK_COLUMNS)
  const message = (_: string, status: string): string => chalkStderr.bold(inWords(status === 'done' ? question : `${question} (${shown})`))
  const validate = async (text: string): Promise<true | string> => {
    const found = await check(text || fallback)
    return found === true || inWords(found)
  }
  const transformer = (text: string, { isFinal }: { isFinal: boolean }): string => (isFinal ? chalkStderr.cyan(text || fallback) : text)
  const asking = { type: 'input', name: 'answer', message: question, theme: { style: { message } }, validate, transformer } as const
  const answer = await asked<string>(signal, async (questions) => questions([asking]))
  return answer || fallback
}

/** Asks for a text that is neither echoed nor stored. @throws Interrupted, the signal's reason */
export async function secret(message: string, { check, signal }: Pick<InputOptions, 'check' | 'signal'>): Promise<string> {
  return asked(signal, async (questions) => questions([{ type: 'password', name: 'answer', message, mask: false, validate: check }]))
}

async function asked<T>(signal: AbortSignal, ask: (questions: Questions) => Promise<{ answer: T }>): Promise<T> {
  signal.throwIfAborted()
  const over = new AbortController()
  // Ctrl-D closes readline, and inquirer would then wait for ever
  const onKey = (_text: string | undefined, key: { ctrl?: boolean; name?: string } | undefined): void => {
    if (key?.ctrl === true && key.name === 'd') {
      over.abort()
    }
  }
  process.stdin.on('keypress', onKey)
  try {
    const either = AbortSignal.any([signal, over.signal])
    return (await ask(inquirer.createPromptModule({ input: process.stdin, output: process.stderr, signal: either }))).answer
  } catch (error) {
    signal.throwIfAborted()
    throw error instanceof Error && ['ExitPromptError', 'AbortPromptError'].includes(error.name) ? new Interrupted('SIGINT') : error
  } finally {
    process.stdin.off('keypress', onKey)
  }
}
