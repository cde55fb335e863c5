import inquirer from 'inquirer'
import { Interrupted } from './report.ts'

export interface Choice {
  value: string
  name: string
}

type Questions = ReturnType<typeof inquirer.createPromptModule>

/** One of a list. @throws Interrupted, the signal's reason */
export async function choose(message: string, choices: Choice[], signal: AbortSignal): Promise<string> {
  return asked(signal, async (questions) => questions([{ type: 'select', name: 'answer', message, choices, pageSize: 15 }]))
}

/** Yes or no; no unless somebody says yes. @throws Interrupted, the signal's reason */
export async function confirm(message: string, signal: AbortSignal): Promise<boolean> {
  return asked(signal, async (questions) => questions([{ type: 'confirm', name: 'answer', message, default: false }]))
}

export interface InputOptions {
  fallback: string
  /** Gives what is wrong with an answer, if anything is. */
  check(text: string): Promise<true | string>
  signal: AbortSignal
}

/** A line of text. @throws Interrupted, the signal's reason */
export async function input(message: string, { fallback, check, signal }: InputOptions): Promise<string> {
  return asked(signal, async (questions) => questions([{ type: 'input', name: 'answer', message, default: fallback, validate: check }]))
}

/** A text that is not shown, and kept nowhere. @throws Interrupted, the signal's reason */
export async function secret(message: string, { check, signal }: Pick<InputOptions, 'check' | 'signal'>): Promise<string> {
  return asked(signal, async (questions) => questions([{ type: 'password', name: 'answer', message, mask: false, validate: check }]))
}

async function asked<T>(signal: AbortSignal, ask: (questions: Questions) => Promise<{ answer: T }>): Promise<T> {
  signal.throwIfAborted()
  const over = new AbortController()
  // readline closes then, and inquirer would wait for ever
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
