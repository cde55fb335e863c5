import inquirer from 'inquirer'
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

/** Asks yes or no; the default is no. @throws Interrupted, the signal's reason */
export async function confirm(message: string, signal: AbortSignal): Promise<boolean> {
  return asked(signal, async (questions) => questions([{ type: 'confirm', name: 'answer', message, default: false }]))
}

export interface InputOptions {
  fallback: string
  /** Returns true, or an error message for an invalid answer. */
  check(text: string): Promise<true | string>
  signal: AbortSignal
}

/** Asks for a line of text. @throws Interrupted, the signal's reason */
export async function input(message: string, { fallback, check, signal }: InputOptions): Promise<string> {
  return asked(signal, async (questions) => questions([{ type: 'input', name: 'answer', message, default: fallback, validate: check }]))
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
